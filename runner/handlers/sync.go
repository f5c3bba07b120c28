package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/openradius/workspace-jobs/runner"
)

// maxPages ends a sync whose pages never end.
const maxPages = 100_000

// SyncArgs are the arguments of the handler "external-sync".
type SyncArgs struct {
	// URL is the http or https URL of the first page, without a user or a password.
	URL string `json:"url"`
	// Table is "schema.table" or "table"; it must exist.
	Table string `json:"table"`
	// Columns maps columns of the table to fields of an item: a name, or a path
	// with dots ("address.city"). A field that an item lacks is NULL.
	Columns map[string]string `json:"columns"`
	// Key has the columns that identify a row. The table needs a unique index on
	// exactly these.
	Key []string `json:"key"`
	// Items is the path of the list of items in a page. If it is empty (default), the
	// page is the list.
	Items string `json:"items"`
	// Next is the path of the next page's URL in a page, or of its cursor if
	// CursorParam is set. A page without it, or with null or "", is the last one. If
	// Next is empty (default), the Link header names the next page.
	Next string `json:"next"`
	// CursorParam is the query parameter for the cursor.
	CursorParam string `json:"cursorParam"`
	// TokenFrom names the Secret with a bearer token, one of those that the Workspace
	// lets handlers see. Its key "origin" has the only origin that gets the token.
	TokenFrom *SecretKey `json:"tokenFrom"`
	// Force reads pages even if they have not changed since the last sync.
	Force bool `json:"force"`
}

// SecretKey is one value of a Secret.
type SecretKey struct {
	Secret string `json:"secret"`
	Key    string `json:"key"`
}

// Validate checks what can be checked without the network and the database.
func (a *SyncArgs) Validate() error {
	parsed, err := url.Parse(a.URL)
	if err != nil || parsed.Host == "" || !isHTTP(parsed) {
		return errors.New("url is not an http or https URL")
	}
	if parsed.User != nil {
		return errors.New("url contains a user or a password: put the token in a Secret and name it in tokenFrom")
	}
	switch {
	case a.Table == "":
		return errors.New("table is missing")
	case len(a.Columns) == 0:
		return errors.New("columns is empty; it maps columns of the table to fields of an item")
	case len(a.Key) == 0:
		return errors.New("key is empty; it needs the columns that identify a row")
	case a.CursorParam != "" && a.Next == "":
		return errors.New("cursorParam needs next, the path of the cursor in a page")
	}
	for _, column := range a.Key {
		if _, ok := a.Columns[column]; !ok {
			return fmt.Errorf("key has %q, which is not in columns", column)
		}
	}
	if a.TokenFrom != nil && !(isFileName(a.TokenFrom.Secret) && isFileName(a.TokenFrom.Key)) {
		return errors.New("tokenFrom needs secret and key, the names of a Secret and of one of its keys")
	}
	return nil
}

func isFileName(name string) bool {
	return filepath.IsLocal(name) && name == filepath.Base(name) && name != "."
}

// columns returns the columns in a fixed order.
func (a *SyncArgs) columns() []string { return slices.Sorted(maps.Keys(a.Columns)) }

// source identifies what is read and where it goes. Pages that were read with other
// arguments don't count.
func (a *SyncArgs) source() (string, error) {
	arguments := *a
	arguments.Force, arguments.TokenFrom = false, nil
	encoded, err := json.Marshal(arguments)
	if err != nil {
		return "", err
	}
	return digest(string(encoded)), nil
}

// digest returns a hash of a text that may be long or contain a secret.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// syncProgress is the checkpoint of the handler "external-sync".
type syncProgress struct {
	// URL is the URL of the next page. Empty means the first page.
	URL      string `json:"url"`
	Finished bool   `json:"finished"`
	Pages    int    `json:"pages"`
	// Unchanged is how many of the pages had not changed.
	Unchanged int   `json:"unchanged"`
	Items     int64 `json:"items"`
	Inserted  int64 `json:"inserted"`
	Updated   int64 `json:"updated"`
}

// syncResult is the result of the handler "external-sync".
type syncResult struct {
	Table    string `json:"table"`
	Pages    int    `json:"pages"`
	Items    int64  `json:"items"`
	Inserted int64  `json:"inserted"`
	Updated  int64  `json:"updated"`
	// Unchanged says that no page has changed since the last sync.
	Unchanged bool `json:"unchanged"`
}

// Sync returns the handler "external-sync", which reads JSON pages over HTTP into a
// table. secrets is the folder of the Workspace's extra Secrets, contract.SecretsPath
// in a pod.
func Sync(secrets string) runner.Handler { return syncWith(secrets, refuseLocal) }

// syncWith returns the handler. check returns an error for each address that must not be
// connected to.
func syncWith(secrets string, check func(netip.Addr) error) runner.Handler {
	return runner.Handle("external-sync", func(ctx context.Context, job *runner.Job[SyncArgs]) error {
		fetcher, err := newFetcher(job.Args.URL, check)
		if err != nil {
			return err
		}
		defer fetcher.client.CloseIdleConnections()
		if fetcher.token, err = readToken(secrets, job.Args.TokenFrom, fetcher.origin); err != nil {
			return err
		}
		target, err := newSyncTarget(ctx, job)
		if err != nil {
			return err
		}
		return runSync(ctx, job, target, fetcher)
	})
}

func runSync(ctx context.Context, job *runner.Job[SyncArgs], target *syncTarget, fetcher *fetcher) error {
	var done syncProgress
	if _, err := job.Checkpoint(&done); err != nil {
		return err
	}
	if done.URL == "" {
		done.URL = job.Args.URL
	}
	for !done.Finished {
		if done.Pages >= maxPages {
			return runner.Permanent(fmt.Errorf("there are more than %d pages", maxPages))
		}
		next, err := syncPage(ctx, job, target, fetcher, done)
		if err != nil {
			return err
		}
		done = next
		job.Logger.Info("page done", "page", done.Pages, "items", done.Items, "inserted", done.Inserted, "updated", done.Updated)
	}
	return job.SetResult(syncResult{
		Table: target.table.String(), Pages: done.Pages, Items: done.Items, Inserted: done.Inserted, Updated: done.Updated,
		Unchanged: done.Unchanged == done.Pages,
	})
}

// syncPage reads one page and stores it together with the URL of the next.
func syncPage(ctx context.Context, job *runner.Job[SyncArgs], target *syncTarget, fetcher *fetcher, done syncProgress) (syncProgress, error) {
	known := knownPage{}
	if !job.Args.Force {
		var err error
		if known, err = target.known(ctx, job.Pool, done.URL); err != nil {
			return done, err
		}
	}
	read, err := fetcher.get(ctx, done.URL, known.etag)
	if err != nil {
		return done, err
	}
	page, err := parsePage(&job.Args, done.URL, read, known)
	if err != nil {
		return done, err
	}
	next := done
	next.Pages++
	next.Items += int64(page.items)
	next.URL, next.Finished = page.next, page.next == ""
	if read.unchanged {
		next.Unchanged++
	}
	err = job.Tx(ctx, func(tx *runner.Tx) error {
		inserted, updated, err := target.store(ctx, tx, page)
		if err != nil {
			return err
		}
		next.Inserted, next.Updated = next.Inserted+inserted, next.Updated+updated
		if err := target.remember(ctx, tx, done.URL, read.etag, page.next, next.Finished, job.StartedAt); err != nil {
			return err
		}
		return tx.Checkpoint(next)
	})
	return next, err
}
