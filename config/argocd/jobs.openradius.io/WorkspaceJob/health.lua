-- Health of a WorkspaceJob: what kstatus says, except that a job that waits for something that may
-- be days away is Suspended instead of Progressing, so that it does not keep its application
-- Progressing. A sync wave or a hook waits for a Suspended job as it does for a Progressing one;
-- if such a job were Healthy, a hook would end before the job has run.
local status = obj.status or {}

local function condition(kind)
  for _, c in ipairs(status.conditions or {}) do
    if c.type == kind then
      return c
    end
  end
  return {}
end

local function as(health)
  return { status = health, message = status.message }
end

if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not seen this version of the job yet" }
end

if status.state == "Succeeded" then
  return as("Healthy")
end

-- A job that was cancelled or will never run is as the user wants it, and nothing more happens
-- (kstatus: Current). Suspended would promise that it continues.
if status.state == "Deleted" then
  return { status = "Healthy", message = "Deleted: " .. (status.message or "it does not run") }
end

-- A final failure is Stalled too.
if condition("Stalled").status == "True" then
  return as("Degraded")
end

-- A continuation's parents show their own progress. Between two attempts (RetryScheduled) the job
-- itself makes progress.
local waits = { Scheduled = true, AwaitingParents = true, QueueSuspended = true }
if waits[condition("Ready").reason] then
  return as("Suspended")
end

return as("Progressing")
