package child

import "syscall"

// EndsWithParent returns the attributes of a process that gets the signal when its parent
// ends, however that ends. The kernel takes the thread that started the process for its
// parent, so no thread may end before: a goroutine that locks one must unlock it. Only Linux
// can do it; elsewhere the process may outlive its parent.
func EndsWithParent(signal syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: signal}
}
