package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// quantile returns the smallest value that the share of values, from 0 to 1, does not exceed.
func quantile(values []time.Duration, share float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	index := int(share*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(index, 0), len(sorted)-1)]
}

// spread returns a row's p50, p99 and maximum.
func spread(values []time.Duration) []string {
	row := make([]string, 0, 3)
	for _, share := range []float64{0.5, 0.99, 1} {
		row = append(row, milliseconds(quantile(values, share)))
	}
	return row
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

func megabytes(bytes float64) string { return fmt.Sprintf("%.1f MB", bytes/1e6) }

// table is written with its columns aligned.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

func (t *table) write(w io.Writer) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range *t {
		if _, err := fmt.Fprintln(columns, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return columns.Flush()
}

// until polls. No measured time depends on it.
func until(ctx context.Context, limit time.Duration, what string, done wait.ConditionWithContextFunc) error {
	if err := wait.PollUntilContextTimeout(ctx, pause, limit, true, done); err != nil {
		return fmt.Errorf("%s: not within %s: %w", what, limit, err)
	}
	return nil
}

// wrongCount returns nil if there are as many as wanted.
func wrongCount(what string, got, want int) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%d %s, want %d", got, what, want)
}
