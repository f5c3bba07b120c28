-- Health of a WorkspaceRecurringJob. Its Ready, and so kstatus, says only that the schedule is in
-- place. An operator wants to see in the application that the nightly cleanup fails: a recurring
-- job is Degraded from the first run that failed until one succeeds, also while the next one is at
-- work. A run that was cancelled or skipped is no failure. Whoever wants failed runs to have no
-- part in the application's health gives the recurring job the annotation
-- argocd.argoproj.io/ignore-healthcheck: "true".
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

-- Paused on purpose, whatever its last runs came to.
if obj.spec.suspend == true then
  return { status = "Suspended", message = ready.message }
end

if failures > 0 then
  local last = condition("LastRunSucceeded").message or ""
  return { status = "Degraded", message = "failed runs since the last success: " .. failures .. "; " .. last }
end

return { status = "Healthy", message = ready.message }
