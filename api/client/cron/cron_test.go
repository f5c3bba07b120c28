package cron_test

import (
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/api/client/cron"
)

// TestAsHangfireWritesThem checks that the expressions are those of Hangfire's Cron class.
// https://api.hangfire.io/html/T_Hangfire_Cron.htm
func TestAsHangfireWritesThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{cron.Minutely(), "* * * * *"},
		{cron.Hourly(), "0 * * * *"},
		{cron.Hourly(15), "15 * * * *"},
		{cron.Daily(), "0 0 * * *"},
		{cron.Daily(2), "0 2 * * *"},
		{cron.Daily(2, 30), "30 2 * * *"},
		{cron.Weekly(time.Monday), "0 0 * * 1"},
		{cron.Weekly(time.Sunday, 4), "0 4 * * 0"},
		{cron.Weekly(time.Saturday, 4, 5), "5 4 * * 6"},
		{cron.Monthly(), "0 0 1 * *"},
		{cron.Monthly(5), "0 0 5 * *"},
		{cron.Monthly(5, 6), "0 6 5 * *"},
		{cron.Monthly(5, 6, 7), "7 6 5 * *"},
		{cron.Yearly(time.January), "0 0 1 1 *"},
		{cron.Yearly(time.March, 5), "0 0 5 3 *"},
		{cron.Yearly(time.March, 5, 6), "0 6 5 3 *"},
		{cron.Yearly(time.March, 5, 6, 7), "7 6 5 3 *"},
	} {
		if c.got != c.want {
			t.Errorf("%q, not %q", c.got, c.want)
		}
	}
}
