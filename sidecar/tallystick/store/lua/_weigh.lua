-- Weighs amounts (by unit) against budgets. The one that binds is the one whose
-- rank, the number of its reason, comes first; among equals the first in the
-- policy. Rank 0 never refuses, and nothing refuses an amount of 0.
--
-- values: spent and held of each budget, after `offset` others
-- limits: what to weigh against instead of each budget's ceiling, or nil
-- room: what is left below each ceiling as a number, nil where a double can't hold it
-- Returns the rank and index of what binds, or nil.
local function weigh(budgets, values, offset, amounts, limits, room)
  local worst, binds
  for i = 1, #budgets do -- `ipairs` costs a call each
    local b = budgets[i]
    local rank, amount, left = b[4], amounts[b[2]], room and not limits and room[i]
    if rank > 0 and amount ~= '0' and (not worst or rank < worst) then
      local fit
      if left then fit = amount + 0 <= left else
        fit = fits(values[offset + 2 * i - 1] or '0', values[offset + 2 * i] or '0', amount, limits and limits[i] or b[3])
      end
      if not fit then worst, binds = rank, i end
    end
  end
  return worst, binds
end
