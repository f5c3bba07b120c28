package handlers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openradius/workspace-jobs/runner"
)

// defaultPeriod is what a report covers unless its arguments say otherwise.
const defaultPeriod = "previous-month"

// ReportArgs are the arguments of the handler "report".
type ReportArgs struct {
	// ID names the report. A report with the same ID and period replaces the earlier
	// one. At most 200 bytes.
	ID string `json:"id"`
	// Query names the query: one of the ledger's table report_queries, or one that
	// comes with the image. Default: ID.
	Query string `json:"query"`
	// Period is a period such as previous-month (default), 2026-10 or
	// 2026-10-01/2026-11-01. A relative one counts from the run's first attempt.
	Period string `json:"period"`
	// TimeZone is the IANA name of the time zone of the period's days and of the
	// report's times. Default: UTC.
	TimeZone string `json:"timeZone"`
}

// Validate fills in defaults and checks the arguments.
func (a *ReportArgs) Validate() error {
	if a.ID == "" || len(a.ID) > 200 {
		return errors.New("id is missing or longer than 200 bytes")
	}
	if a.Query == "" {
		a.Query = a.ID
	}
	if a.Period == "" {
		a.Period = defaultPeriod
	}
	if a.TimeZone == "" {
		a.TimeZone = "UTC"
	}
	zone, err := a.zone()
	if err != nil {
		return err
	}
	_, err = parsePeriod(a.Period, time.Unix(0, 0), zone)
	return err
}

func (a *ReportArgs) zone() (*time.Location, error) {
	zone, err := time.LoadLocation(a.TimeZone)
	if err != nil || a.TimeZone == "Local" {
		return nil, fmt.Errorf("timeZone %q is unknown; use a name such as Asia/Kolkata", a.TimeZone)
	}
	return zone, nil
}

// reportResult is the result of the handler "report".
type reportResult struct {
	ID          string    `json:"id"`
	Query       string    `json:"query"`
	PeriodStart time.Time `json:"periodStart"`
	PeriodEnd   time.Time `json:"periodEnd"`
	Rows        int       `json:"rows"`
	// CSVBytes is the size of the report as CSV.
	CSVBytes int `json:"csvBytes"`
}

// Report returns the handler "report", which stores a query's result for a period.
func Report() runner.Handler { return runner.HandleTx("report", runReport) }

func runReport(ctx context.Context, tx pgx.Tx, job *runner.Job[ReportArgs]) error {
	zone, err := job.Args.zone()
	if err != nil {
		return err
	}
	span, err := parsePeriod(job.Args.Period, job.StartedAt, zone)
	if err != nil {
		return runner.Permanent(err)
	}
	ledger := pgx.Identifier{job.Schema}.Sanitize()
	query, err := namedQuery(ctx, tx, ledger, job.Args.Query)
	if err != nil {
		return err
	}
	job.Logger.Info("report", "id", job.Args.ID, "query", job.Args.Query, "from", span.start, "to", span.end)
	made := &document{}
	if err := queryReadOnly(ctx, tx, job.Args.TimeZone, query, span, made); err != nil {
		return fmt.Errorf("query %q: %w", job.Args.Query, explain(err))
	}
	text, err := statement("store_report", "ledger", ledger)
	if err != nil {
		return err
	}
	csv, json := made.finish()
	_, err = tx.Exec(ctx, text, job.Args.ID, span.start, span.end, job.Args.Query, made.rows, csv, json)
	if err != nil {
		return explain(err)
	}
	job.Logger.Info("report stored", "rows", made.rows, "csvBytes", len(csv), "jsonBytes", len(json))
	return job.SetResult(reportResult{
		ID: job.Args.ID, Query: job.Args.Query, PeriodStart: span.start, PeriodEnd: span.end,
		Rows: made.rows, CSVBytes: len(csv),
	})
}

// namedQuery returns the query of that name. The workspace's own queries come before
// the image's.
func namedQuery(ctx context.Context, tx pgx.Tx, ledger, name string) (string, error) {
	text, err := statement("find_report_query", "ledger", ledger)
	if err != nil {
		return "", err
	}
	var query string
	err = tx.QueryRow(ctx, text, name).Scan(&query)
	if err == nil {
		return query, mustRead(name, query)
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return "", explain(err)
	}
	shipped, err := shippedQueries()
	if err != nil {
		return "", err
	}
	if slices.Contains(shipped, name) {
		return statement("reports/" + name)
	}
	return "", unknownQuery(ctx, tx, ledger, name, shipped)
}

func shippedQueries() ([]string, error) {
	paths, err := fs.Glob(files, "sql/reports/*.sql")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, found := range paths {
		names = append(names, strings.TrimSuffix(path.Base(found), ".sql"))
	}
	return names, nil
}

func unknownQuery(ctx context.Context, tx pgx.Tx, ledger, name string, shipped []string) error {
	text, err := statement("list_report_queries", "ledger", ledger)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, text)
	if err != nil {
		return explain(err)
	}
	own, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return explain(err)
	}
	return runner.Permanent(fmt.Errorf("there is no query %q, only %s (add your own to the table %s.report_queries)",
		name, strings.Join(append(own, shipped...), ", "), ledger))
}

// mustRead refuses what is not a query, above all what would end the transaction.
func mustRead(name, query string) error {
	switch firstWord(query) {
	case "SELECT", "WITH", "VALUES", "TABLE", "(":
		return nil
	default:
		return runner.Permanent(fmt.Errorf("query %q is not a query: it should begin with SELECT or WITH", name))
	}
}

// queryReadOnly runs a query inside a read-only savepoint and adds its rows to made.
// Rolling back to the savepoint makes the transaction writable again.
func queryReadOnly(ctx context.Context, tx pgx.Tx, timeZone, query string, span period, made *document) error {
	settings, err := statement("report_settings")
	if err != nil {
		return err
	}
	savepoint, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := savepoint.Exec(ctx, settings, timeZone); err != nil {
		return err
	}
	if err := read(ctx, savepoint, query, span, made); err != nil {
		return err
	}
	return savepoint.Rollback(ctx)
}

// read runs a query of two parameters, used or not, and adds its rows to made one by
// one, in PostgreSQL's text format.
func read(ctx context.Context, tx pgx.Tx, query string, span period, made *document) error {
	const timestamptz = 1184 // the OID of that type
	parameters := [][]byte{
		[]byte(span.start.UTC().Format(time.RFC3339Nano)),
		[]byte(span.end.UTC().Format(time.RFC3339Nano)),
	}
	reader := tx.Conn().PgConn().ExecParams(ctx, query, parameters, []uint32{timestamptz, timestamptz}, nil, nil)
	for reader.NextRow() {
		if err := made.add(reader.FieldDescriptions(), reader.Values()); err != nil {
			_, closeErr := reader.Close()
			return errors.Join(err, closeErr)
		}
	}
	if len(made.names) == 0 {
		if err := made.setColumns(reader.FieldDescriptions()); err != nil {
			_, closeErr := reader.Close()
			return errors.Join(err, closeErr)
		}
	}
	_, err := reader.Close()
	return err
}
