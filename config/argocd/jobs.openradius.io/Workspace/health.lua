-- Health of a Workspace: what kstatus says, except that a Workspace with a paused queue is
-- Suspended.
local status = obj.status or {}

local function condition(kind)
  for _, c in ipairs(status.conditions or {}) do
    if c.type == kind then
      return c
    end
  end
  return {}
end

local ready = condition("Ready")
local stalled = condition("Stalled")
local reconciling = condition("Reconciling")

if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not seen this version of the workspace yet" }
end

if stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end

-- A Ready workspace is Reconciling, too, while the API server answers the operator with errors.
if reconciling.status == "True" then
  return { status = "Progressing", message = reconciling.message }
end

if ready.status ~= "True" then
  return { status = "Progressing", message = ready.message }
end

if obj.spec.suspend == true then
  return { status = "Suspended", message = "the queue is paused: no attempt starts" }
end

return { status = "Healthy", message = ready.message }
