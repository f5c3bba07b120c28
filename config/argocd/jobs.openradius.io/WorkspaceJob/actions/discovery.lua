local status = obj.status or {}
local final = { Succeeded = true, Failed = true, Deleted = true }
local finished = final[status.state] == true

return {
  requeue = {
    displayName = "Run again",
    iconClass = "fa fa-fw fa-redo",
    disabled = not finished,
  },
  cancel = {
    displayName = "Cancel",
    iconClass = "fa fa-fw fa-ban",
    disabled = finished or obj.spec.cancelled == true,
  },
}
