//go:build !linux

package child

import "syscall"

// EndsWithParent returns the attributes of any process: only Linux can end it with its
// parent.
func EndsWithParent(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
