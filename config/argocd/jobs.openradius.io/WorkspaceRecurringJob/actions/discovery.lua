local suspended = obj.spec.suspend == true

return {
  -- Also while it is paused: that holds only for the schedule.
  trigger = {
    displayName = "Run now",
    iconClass = "fa fa-fw fa-play-circle",
    disabled = obj.metadata.deletionTimestamp ~= nil,
  },
  pause = {
    displayName = "Pause the schedule",
    iconClass = "fa fa-fw fa-pause",
    disabled = suspended,
  },
  resume = {
    displayName = "Resume the schedule",
    iconClass = "fa fa-fw fa-play",
    disabled = not suspended,
  },
}
