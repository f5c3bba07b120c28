package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/openradius/workspace-jobs/runner/contract"
	"github.com/openradius/workspace-jobs/runner/ledger"
)

// insufficientPrivilege is PostgreSQL's code for a missing right.
const insufficientPrivilege = "42501"

// Migrate brings the ledger of d's database up to date. It uses only DatabaseURL,
// AllowSuperuser and Schema of d. The result of Done is a contract.MigrationResult.
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
	migrated, err := migrateWith(ctx, config.ConnConfig, d)
	if err != nil {
		return outcomeOf(ctx, migrateError(err, config.ConnConfig.User, d.schema()))
	}
	result, err := encodeJSON(migrated)
	if err != nil {
		return outcomeOf(ctx, err)
	}
	return Outcome{Kind: Done, Result: result}
}

func migrateWith(ctx context.Context, config *pgx.ConnConfig, d Description) (contract.MigrationResult, error) {
	var result contract.MigrationResult
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return result, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if !d.AllowSuperuser {
		if err := checkRole(ctx, conn); err != nil {
			return result, err
		}
		if result.Warning, err = warnOfReach(ctx, conn); err != nil {
			return result, err
		}
	}
	result.SchemaVersion, err = ledger.Migrate(ctx, conn, d.schema())
	return result, err
}

func migrateError(err error, role, schema string) error {
	var foreign *ledger.ForeignError
	if errors.As(err, &foreign) || errors.Is(err, ledger.ErrNewer) {
		return Permanent(err)
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == insufficientPrivilege {
		return fmt.Errorf("role %q may not create the ledger in schema %q: create the schema and grant the role USAGE and CREATE on it (docs/database.md): %w",
			role, schema, err)
	}
	return explainDatabase(err)
}
