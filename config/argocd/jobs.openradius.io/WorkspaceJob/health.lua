-- Health of a WorkspaceJob: what kstatus says, except that a job which waits for something that
-- may be days away is Suspended and not Progressing, so that it does not keep its application
-- Progressing. A sync wave or a hook waits for a Suspended job as it does for a Progressing one;
-- if such a job were Healthy, a hook would be over before it has run.
local status = obj.status or {}

local function condition(kind)
  for _, c in ipairs(status.conditions or {}) do
    if c.type == kind then
      return c
    end
  end
  return {}
end

local function verdict(health)
  return { status = health, message = status.message }
end

if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not seen this version of the job yet" }
end

if status.state == "Succeeded" then
  return verdict("Healthy")
end

-- Nobody is expected to do anything about a job that was cancelled or is never to run, and nothing
-- follows: that is what was asked for (kstatus: Current). Suspended would promise that it goes on.
if status.state == "Deleted" then
  return { status = "Healthy", message = "Deleted: " .. (status.message or "it does not run") }
end

-- A final failure is Stalled too.
if condition("Stalled").status == "True" then
  return verdict("Degraded")
end

-- A continuation's parents tell for themselves that they are at work. Between two attempts
-- (RetryScheduled) the job is at work.
local waits = { Scheduled = true, AwaitingParents = true, QueueSuspended = true }
if waits[condition("Ready").reason] then
  return verdict("Suspended")
end

return verdict("Progressing")
