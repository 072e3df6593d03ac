"""The store: where wallets, budgets and holds live, and the one atomic step on them."""
