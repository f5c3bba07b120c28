package runner

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Handler is a function that runs jobs, with the name that jobs refer to it by.
// Make one with [Handle] or [HandleTx].
type Handler struct {
	name string
	// fields are the names of its arguments.
	fields []string
	// inTx says that the handler works in the transaction that completes the run.
	inTx bool
	// bind decodes arguments and binds them to the function.
	bind func(raw json.RawMessage) (boundHandler, error)
}

// boundHandler is a handler's function with its arguments. tx is nil unless the
// handler is inTx.
type boundHandler func(ctx context.Context, s *session, tx pgx.Tx) error

// Handle registers a handler that works in as many transactions as it needs; see
// [Job.Tx]. T is the type of its arguments. They are decoded from JSON, and unknown
// fields are refused. If T or *T has a method Validate() error, it is called too.
// Arguments that don't fit fail the job permanently before anything runs.
func Handle[T any](name string, run func(ctx context.Context, job *Job[T]) error) Handler {
	return Handler{
		name:   name,
		fields: fieldNames(reflect.TypeFor[T]()),
		bind: func(raw json.RawMessage) (boundHandler, error) {
			args, err := decodeArgs[T](raw)
			return func(ctx context.Context, s *session, _ pgx.Tx) error {
				return run(ctx, newJob(s, args))
			}, err
		},
	}
}

// HandleTx registers a handler whose effects commit together with the run's
// completion, in one READ COMMITTED transaction: the run takes effect completely, and
// once. The handler must not commit or roll back, but may use savepoints (tx.Begin).
// T is as in [Handle].
//
// The transaction stays open for as long as the handler runs. For work of more than a
// few minutes, [Handle] with batches is easier on the database.
func HandleTx[T any](name string, run func(ctx context.Context, tx pgx.Tx, job *Job[T]) error) Handler {
	return Handler{
		name:   name,
		fields: fieldNames(reflect.TypeFor[T]()),
		inTx:   true,
		bind: func(raw json.RawMessage) (boundHandler, error) {
			args, err := decodeArgs[T](raw)
			return func(ctx context.Context, s *session, tx pgx.Tx) error {
				return run(ctx, tx, newJob(s, args))
			}, err
		},
	}
}

// Name returns the name that jobs refer to the handler by.
func (h Handler) Name() string { return h.name }

// find returns the handler that d names, and checks d's arguments.
func find(handlers []Handler, d Description) (Handler, error) {
	if err := checkNames(handlers); err != nil {
		return Handler{}, err
	}
	at := slices.IndexFunc(handlers, func(h Handler) bool { return h.name == d.Handler })
	if at < 0 {
		names := make([]string, 0, len(handlers))
		for _, handler := range handlers {
			names = append(names, handler.name)
		}
		slices.Sort(names)
		// The name is not repeated: as it is no handler's, it may be a secret.
		return Handler{}, usagef("this image does not have the job's handler; it has %s", strings.Join(names, ", "))
	}
	if _, err := handlers[at].bind(d.args()); err != nil {
		return Handler{}, usagef("the arguments don't fit the handler %q: %s", d.Handler, err)
	}
	return handlers[at], nil
}

func checkNames(handlers []Handler) error {
	seen := map[string]bool{}
	for _, handler := range handlers {
		if handler.name == "" || seen[handler.name] {
			return usagef("this image registers a handler %q twice, or one without a name", handler.name)
		}
		seen[handler.name] = true
	}
	return nil
}
