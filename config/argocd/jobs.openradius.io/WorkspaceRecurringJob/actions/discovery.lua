local suspended = obj.spec.suspend == true

return {
  -- A paused recurring job can be triggered: only its schedule is paused.
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
