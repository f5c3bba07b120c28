package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/openradius/workspace-jobs/runner/contract"
	"github.com/openradius/workspace-jobs/runner/ledger"
)

// insufficientPrivilege is PostgreSQL's code for what a role may not do.
const insufficientPrivilege = "42501"

// Migrate brings the ledger of d's database up to date; of d only DatabaseURL and
// Schema count. The result of Done is a contract.MigrationResult.
func Migrate(ctx context.Context, d Description) Outcome {
	outcome := migrate(ctx, d)
	outcome.Error = newRedactor(d.DatabaseURL).text(outcome.Error)
	return outcome
}

func migrate(ctx context.Context, d Description) Outcome {
	if err := ledger.CheckSchema(d.schema()); err != nil {
		return Outcome{Kind: Refused, Error: err.Error()}
	}
	config, err := parseDatabaseURL(d.DatabaseURL, applicationName("migrate"))
	if err != nil {
		return outcomeOf(ctx, err)
	}
	version, err := ledger.Migrate(ctx, config.ConnConfig, d.schema())
	if err != nil {
		return outcomeOf(ctx, migrateError(err, config.ConnConfig.User, d.schema()))
	}
	result, err := encodeJSON(contract.MigrationResult{SchemaVersion: version})
	if err != nil {
		return outcomeOf(ctx, err)
	}
	return Outcome{Kind: Done, Result: result}
}

func migrateError(err error, role, schema string) error {
	var foreign *ledger.ForeignError
	if errors.As(err, &foreign) || errors.Is(err, ledger.ErrNewer) {
		return Permanent(err)
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == insufficientPrivilege {
		return fmt.Errorf("role %q may not make the ledger in schema %q: grant it CREATE on the database, or make the schema for it (CREATE SCHEMA %q AUTHORIZATION %q): %w",
			role, schema, schema, role, err)
	}
	return explainDatabase(err)
}
