package client_test

import (
	"context"
	"fmt"
	"time"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/client/cron"
)

// CleanupArgs are those of the stock handler data-cleanup.
type CleanupArgs struct {
	Table     string `json:"table"`
	Column    string `json:"column"`
	OlderThan string `json:"olderThan"`
}

// Enqueue a job and wait for its end. config is rest.InClusterConfig's in a pod.
func Example() {
	ctx := context.Background()
	acme := client.New(config).For("acme")

	job, err := acme.Enqueue(ctx, "data-cleanup", CleanupArgs{Table: "sessions", Column: "ended", OlderThan: "365d"})
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err = acme.Wait(ctx, job.Name)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.Status.State)
	// Output: Succeeded
}

// Have the compiler check the arguments.
func ExampleHandlerOf() {
	ctx := context.Background()
	cleanup := client.HandlerOf[CleanupArgs](client.New(config).For("acme"), "data-cleanup")

	args := CleanupArgs{Table: "sessions", Column: "ended", OlderThan: "365d"}
	job, err := cleanup.Schedule(ctx, args, 30*time.Minute, client.WithName("after-lunch"), client.WithPriority(10), client.WithRetries(3))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.Name, job.Spec.Delay.Duration)
	// Output: after-lunch 30m0s
}

// Enqueued twice, by a caller who does not know whether the first time arrived, the job
// is there once.
func ExampleWithIdempotencyKey() {
	ctx := context.Background()
	acme := client.New(config).For("acme")
	args := map[string]string{"id": "invoices", "period": "2026-10"}

	first, err := acme.Enqueue(ctx, "report", args, client.WithIdempotencyKey("invoices/2026-10"))
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := acme.Enqueue(ctx, "report", args, client.WithIdempotencyKey("invoices/2026-10"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first.UID == second.UID)
	// Output: true
}

// Run a job at 02:00 every night, once now, and no more.
func ExampleWorkspace_AddOrUpdateRecurring() {
	ctx := context.Background()
	acme := client.New(config).For("acme")

	_, err := acme.AddOrUpdateRecurring(ctx, "daily-job", "external-sync", nil, cron.Daily(2), client.InTimeZone("Europe/Berlin"))
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err := acme.Trigger(ctx, "daily-job")
	if err == nil {
		run, err = acme.Wait(ctx, run.Name)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Status.State)
	if err := acme.RemoveRecurring(ctx, "daily-job"); err != nil {
		fmt.Println(err)
	}
	// Output: Succeeded
}
