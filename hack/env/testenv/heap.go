package testenv

import "runtime"

// Heap returns how much of the heap is in use, in bytes.
func Heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc) //nolint:gosec // no heap has 8 EiB
}
