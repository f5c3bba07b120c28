package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// hash fixes what H stands for in a field, 0 to 4, of a recurring job's schedule: the
// first eight bytes of SHA-256 over the seed, a NUL and the field's number.
//
// It must never change: each schedule with an H would move, and upgrading the operator
// would make some of a day's runs happen twice and others not at all.
func hash(seed string, field int) uint64 {
	sum := sha256.Sum256([]byte(seed + "\x00" + strconv.Itoa(field)))
	return binary.BigEndian.Uint64(sum[:])
}

// pick is a number from 0 to below n, which is positive. It must never change either.
func pick(hash uint64, n int) int {
	return int(hash % uint64(n)) //nolint:gosec // n is positive, and the rest is below it
}
