-- Weighs amounts (by unit) against budgets. The one that binds is the one whose
-- rank, the number of its reason, comes first; among equals the first in the
-- policy. Rank 0 never refuses, and nothing refuses an amount of 0.
--
-- values: spent and held of each budget, from `value_at` on
-- budgets: counter, unit, limit, rank, end of each, from `budget_at` on
-- Returns the rank and index of what binds, or nil.
local function weigh(n, values, value_at, budgets, budget_at, amounts)
  local worst, binds
  for i = 0, n - 1 do
    local b, v = budget_at + 5 * i, value_at + 2 * i
    local rank, amount = budgets[b + 3], amounts[budgets[b + 1]]
    if rank ~= '0' and amount ~= '0'
      and not fits(values[v] or '0', values[v + 1] or '0', amount, budgets[b + 2])
      and (not worst or tonumber(rank) < worst) then
      worst, binds = tonumber(rank), i + 1
    end
  end
  return worst, binds
end
