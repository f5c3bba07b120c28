local os = require("os")

-- Argo CD writes the whole object back. Lua stores its numbers as floating point, and turns an
-- empty object in a list into an empty list: an action that would change such a value fails.
local function survives(value)
  if type(value) == "number" then
    return value > -2 ^ 53 and value < 2 ^ 53
  end
  if type(value) ~= "table" then
    return true
  end
  for key, item in pairs(value) do
    if not survives(item) or (type(key) == "number" and type(item) == "table" and next(item) == nil) then
      return false
    end
  end
  return true
end

if not survives(obj.spec) or not survives(obj.status) then
  error("Argo CD would change a large number, or an empty object in a list: use kubectl patch wj", 0)
end

-- A job runs again if it finished before requeueAt, by the operator's clock. Both times are
-- RFC 3339 in UTC, in whole seconds, so they compare as strings.
local now = os.date("!%Y-%m-%dT%XZ")
local finished = (obj.status or {}).finishedAt
if finished == nil then
  error("the job has not finished: there is nothing to run again", 0)
end
if now <= finished then
  error("the job finished at " .. finished .. ", and Argo CD's clock says " .. now .. ": try again in a moment", 0)
end

obj.spec.requeueAt = now
if obj.spec.cancelled then
  obj.spec.cancelled = false
end
return obj
