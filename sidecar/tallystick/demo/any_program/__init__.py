"""`tallystick demo --envoy`: programs that know nothing of Tallystick, under budget by their base_url.

policy.yaml   what the programs may spend
programs.py   the programs: official SDKs with another base_url and another key, and nothing else
ledger.py     what the screen shows of them, read from the ledger
report.py     the first and the last words
play.py       all of it: stand-in providers, `tallystick gateway` as its own process, the books
"""
