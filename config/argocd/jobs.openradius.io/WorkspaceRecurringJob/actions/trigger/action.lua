local os = require("os")

-- The seconds since 1970 have ten digits. With a recurring job's name of at most 46 characters
-- and a hyphen, that makes 57 of the 58 characters that a WorkspaceJob's name may have. The names
-- of scheduled runs end with the minutes, which have eight digits, so names never collide. Of two
-- clicks in the same second, one is refused.
local run = {
  apiVersion = obj.apiVersion,
  kind = "WorkspaceJob",
  metadata = {
    name = obj.metadata.name .. "-" .. os.time(),
    namespace = obj.metadata.namespace,
    labels = { ["jobs.openradius.io/recurring-job"] = obj.metadata.name },
    -- spec.history counts the runs that the recurring job controls.
    ownerReferences = {
      {
        apiVersion = obj.apiVersion,
        kind = obj.kind,
        name = obj.metadata.name,
        uid = obj.metadata.uid,
        controller = true,
      },
    },
  },
  spec = { recurringJobRef = { name = obj.metadata.name } },
}

return { { operation = "create", resource = run } }
