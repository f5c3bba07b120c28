-- Health of a WorkspaceRecurringJob. Its Ready condition, and so kstatus, covers only the schedule.
-- But the application should show that the nightly cleanup fails: a recurring job is Degraded from
-- the first run that failed until one succeeds, even while the next one is running. A run that was
-- cancelled or skipped is not a failure. To keep failed runs out of the application's health, give
-- the recurring job the annotation argocd.argoproj.io/ignore-healthcheck: "true".
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
local failures = status.consecutiveFailures or 0

if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not seen this version of the schedule yet" }
end

if stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end

if ready.status ~= "True" or condition("Reconciling").status == "True" then
  return { status = "Progressing", message = ready.message }
end

-- Paused on purpose, whatever the results of its last runs.
if obj.spec.suspend == true then
  return { status = "Suspended", message = ready.message }
end

if failures > 0 then
  local last = condition("LastRunSucceeded").message or ""
  return { status = "Degraded", message = "failed runs since the last success: " .. failures .. "; " .. last }
end

return { status = "Healthy", message = ready.message }
