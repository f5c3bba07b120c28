//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/openradius/workspace-jobs/runner"
	"github.com/openradius/workspace-jobs/runner/contract"
)

type askArgs struct {
	// Statements are run as the workspace's own role in its own database. Their names are
	// the names in the result.
	Statements map[string]string `json:"statements"`
	// Logins are attempts to connect to the same server.
	Logins map[string]login `json:"logins"`
}

// login is what a login changes in the workspace's own URL.
type login struct {
	Role     string `json:"role,omitempty"`
	Database string `json:"database,omitempty"`
}

// ask returns PostgreSQL's answer to each: the first value, or the SQLSTATE.
func ask(ctx context.Context, job *runner.Job[askArgs]) error {
	own, err := url.Parse(os.Getenv(contract.EnvDatabaseURL))
	if err != nil {
		return err
	}
	answers := map[string]string{}
	for name, statement := range job.Args.Statements {
		answers[name] = query(ctx, own.String(), statement)
	}
	for name, login := range job.Args.Logins {
		other := *own
		if login.Role != "" {
			password, _ := own.User.Password()
			other.User = url.UserPassword(login.Role, password)
		}
		if login.Database != "" {
			other.Path = "/" + login.Database
		}
		answers[name] = query(ctx, other.String(), `SELECT current_user::text`)
	}
	return job.SetResult(answers)
}

func query(ctx context.Context, server, statement string) string {
	connection, err := pgx.Connect(ctx, server)
	if err != nil {
		return state(err)
	}
	defer func() { _ = connection.Close(ctx) }()
	rows, err := connection.Query(ctx, statement)
	if err != nil {
		return state(err)
	}
	defer rows.Close()
	answer := "done"
	for first := true; rows.Next(); first = false {
		if values, err := rows.Values(); err == nil && first && len(values) > 0 {
			answer = fmt.Sprint(values[0])
		}
	}
	if err := rows.Err(); err != nil {
		return state(err)
	}
	return answer
}

func state(err error) string {
	if refused := new(pgconn.PgError); errors.As(err, &refused) {
		return "SQLSTATE " + refused.Code
	}
	return err.Error()
}
