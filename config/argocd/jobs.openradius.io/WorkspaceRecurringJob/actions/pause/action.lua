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

if not survives(obj.spec) then
  error("Argo CD would change a large number, or an empty object in a list: use kubectl patch wrj", 0)
end

obj.spec.suspend = true
return obj
