package auth

import "time"

// Older makes what the cluster said about the caller older.
func Older(c *Caller, by time.Duration) { c.asked = c.asked.Add(-by) }
