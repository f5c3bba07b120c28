package child

import "syscall"

// EndsWithParent returns the attributes of a process that gets the signal when its parent
// ends, however that ends. Only Linux can do it; elsewhere the process may outlive its
// parent.
func EndsWithParent(signal syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: signal}
}
