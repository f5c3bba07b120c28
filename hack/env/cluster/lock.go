//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lock takes an exclusive lock on a folder, which it creates if necessary, and returns a
// function that releases it. Two processes never hold it at once; the kernel frees it if its holder dies.
func lock(ctx context.Context, folder, what string) (func(), error) {
	waiting := false
	for {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
		file, err := os.Open(filepath.Clean(folder))
		if err != nil {
			if os.IsNotExist(err) {
				continue // its last holder removed it between the two calls
			}
			return nil, err
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && sameFolder(file, folder) {
			return func() { closeQuietly(file) }, nil
		}
		closeQuietly(file)
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", folder, err)
		}
		if !waiting {
			say("waiting for another process that %s", what)
			waiting = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("gave up waiting for another process that %s: %w", what, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// sameFolder reports whether a lock is on the folder, and not on one that was removed meanwhile.
func sameFolder(file *os.File, folder string) bool {
	held, err := file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(folder)
	return err == nil && os.SameFile(held, now)
}

// closeQuietly closes a file that was only read or locked, which loses nothing.
func closeQuietly(file *os.File) { _ = file.Close() }
