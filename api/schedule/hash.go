package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// hash returns what H is derived from in a field, 0 to 4, of a recurring job's schedule: the
// first eight bytes of SHA-256 over the seed, a NUL and the field's number.
//
// It must never change: every schedule with an H would move, so that on the day of an upgrade
// some runs would happen twice and others not at all.
func hash(seed string, field int) uint64 {
	sum := sha256.Sum256([]byte(seed + "\x00" + strconv.Itoa(field)))
	return binary.BigEndian.Uint64(sum[:])
}

// pick returns a number from 0 to n-1; n is positive. It must never change either.
func pick(hash uint64, n int) int {
	return int(hash % uint64(n)) //nolint:gosec // n is positive, and the remainder is smaller
}
