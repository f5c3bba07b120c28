// Package runner is for writing the handlers of Workspace Jobs, and is the process
// around them. A runner image is a program that calls [Main] with its handlers:
//
//	func main() {
//		runner.Main(
//			runner.Handle("data-cleanup", cleanup),        // func(context.Context, *runner.Job[CleanupArgs]) error
//			runner.HandleTx("close-sessions", closeStale), // func(context.Context, pgx.Tx, *runner.Job[CloseArgs]) error
//		)
//	}
//
// A run (one WorkspaceJob, and one more for each requeue) may be attempted many
// times, by processes that are killed, frozen, cut off or started twice. What its
// handler does in the transaction that it is given has its effect once:
//
//   - [HandleTx]: the handler gets one transaction; its effects and the run's
//     completion commit together.
//   - [Handle]: the handler works in as many transactions as it likes with
//     [Job.Tx], each of which commits together with a checkpoint; the next attempt
//     goes on from there.
//
// What a handler does outside of these (a request to another service, a statement
// on [Job.Pool]) happens at least once: it should be safe to repeat.
package runner
