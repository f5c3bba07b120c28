local suspended = obj.spec.suspend == true

return {
  pause = {
    displayName = "Pause the queue",
    iconClass = "fa fa-fw fa-pause",
    disabled = suspended,
  },
  resume = {
    displayName = "Resume the queue",
    iconClass = "fa fa-fw fa-play",
    disabled = not suspended,
  },
}
