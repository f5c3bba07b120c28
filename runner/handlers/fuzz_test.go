package handlers

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/openradius/workspace-jobs/runner"
)

// oneLine checks that text is one line that can be shown to people.
func oneLine(t *testing.T, text string) {
	t.Helper()
	if text == "" || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("not one line of text: %q", text)
	}
}

// FuzzArgs checks for each stock handler that arguments are refused in one line, or are
// within the documented bounds and stay so when they are validated again.
func FuzzArgs(f *testing.F) {
	for _, raw := range []string{
		`{}`, `{"statements":["SELECT 1"],"transaction":"each"}`, `{"statements":["/* x","-- y",";"]}`,
		`{"table":"t","column":"c","olderThan":"365d","batchSize":100000,"maxRows":1,"dryRun":true}`,
		`{"id":"r","period":"previous-month","timeZone":"Asia/Kolkata"}`, `{"id":"r","period":"2026","timeZone":"../../etc/passwd"}`,
		`{"url":"https://example.net/?a=b","table":"t","columns":{"id":"id"},"key":["id"],"tokenFrom":{"secret":"s","key":"k"}}`,
		`{"url":"https://example.net","table":"t","columns":{"id":"id"},"key":["id"],"tokenFrom":{"secret":"..","key":"k"}}`,
		`{"url":"http://user@host","table":"t","columns":{"id":"id"},"key":["id"],"tokenFrom":{"secret":"..","key":"/"}}`,
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if args, ok := validated[SQLArgs](t, raw); ok {
			for _, statement := range args.Statements {
				if strings.Trim(statement, " \t\r\n\f\v;") == "" {
					t.Errorf("accepted the empty statement %q", statement)
				}
			}
		}
		if args, ok := validated[CleanupArgs](t, raw); ok && (args.BatchSize < 1 || args.BatchSize > largestBatch || args.MaxRows < 0) {
			t.Errorf("%+v", args)
		}
		if args, ok := validated[ReportArgs](t, raw); ok && (args.ID == "" || args.Query == "" || args.TimeZone == "Local") {
			t.Errorf("%+v", args)
		}
		if args, ok := validated[SyncArgs](t, raw); ok {
			checkSyncArgs(t, &args)
		}
	})
}

type validator[T any] interface {
	*T
	Validate() error
}

func validated[T any, P validator[T]](t *testing.T, raw []byte) (args T, ok bool) {
	t.Helper()
	if json.Unmarshal(raw, &args) != nil {
		return args, false
	}
	if err := P(&args).Validate(); err != nil {
		oneLine(t, err.Error())
		return args, false
	}
	before, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	if err := P(&args).Validate(); err != nil {
		t.Errorf("%+v was refused the second time: %v", args, err)
	}
	if after, err := json.Marshal(args); err != nil || string(after) != string(before) {
		t.Errorf("%s became %s, %v", before, after, err)
	}
	return args, true
}

// checkSyncArgs checks that no user or password is sent, and that no file is read outside
// the folder of the Secrets.
func checkSyncArgs(t *testing.T, args *SyncArgs) {
	t.Helper()
	if target, err := url.Parse(args.URL); err != nil || target.User != nil || target.Host == "" {
		t.Errorf("accepted the url %q", args.URL)
	}
	if from := args.TokenFrom; from != nil {
		const secrets = "/var/run/secrets"
		file := filepath.Join(secrets, from.Secret, from.Key)
		if within, err := filepath.Rel(secrets, file); err != nil || strings.Count(within, "/") != 1 || strings.HasPrefix(within, "../") {
			t.Errorf("%+v reads %q", from, file)
		}
	}
}

// FuzzParseAge checks that an age is above zero and does not go back to a time BC, which
// JSON and Go's time can't represent.
func FuzzParseAge(f *testing.F) {
	for _, text := range []string{
		"365d", "12mo", "1y6mo2w3d4h5m6s", "0d", "2500y", "", "99999999999999999999d", "100000y100000mo", "0000000000000000000001d", "1m1h", "١d", "1d\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseAge(text)
		if err != nil {
			oneLine(t, err.Error())
			return
		}
		if parsed.months < 0 || parsed.days < 0 || parsed.seconds < 0 || parsed == (age{}) {
			t.Errorf("%q is %+v", text, parsed)
		}
		from := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC).AddDate(0, -parsed.months, -parsed.days)
		if from.Add(-time.Duration(parsed.seconds)*time.Second).Year() < 1 {
			t.Errorf("%q is %+v: back to %s", text, parsed, from)
		}
		if strings.Trim(text, "0123456789ymowdhs") != "" {
			t.Errorf("accepted %q", text)
		}
	})
}

// FuzzParsePeriod checks that a period ends after it begins, in years that PostgreSQL
// reads, that a relative period is over, and that a day lasts from its first moment to
// that of the next day, in the calendar of its zone.
func FuzzParsePeriod(f *testing.F) {
	for _, text := range []string{
		"previous-hour", "previous-day", "previous-week", "previous-month", "previous-year", "previous-", "2026", "2026-10", "2026-10-05",
		"2026-10-01/2026-11-01", "2026-10-01T00:00:00+14:00/2026-11-01", "0000", "9999", "0001-01-01", "9999-12-31/9999-12-31T23:59:59.999999999Z", "/",
	} {
		f.Add(text, uint32(1_790_000_000), "Asia/Kolkata")
	}
	f.Add("2018-11-04", uint32(1_541_300_000), "America/Sao_Paulo") // no midnight
	f.Add("2017-10-27", uint32(0), "Asia/Amman")                    // two of them
	f.Add("2026-11-01", uint32(0), "America/Havana")                // two of them
	f.Add("2011-12-30", uint32(1_325_200_000), "Pacific/Apia")      // no such day
	f.Add("1993-08-21", uint32(0), "Pacific/Kwajalein")             // no such day
	f.Add("2010-11-07", uint32(0), "America/St_Johns")              // a minute of it before the rest
	f.Add("2010-11-06", uint32(0), "America/St_Johns")
	f.Add("2026-10-25", uint32(0), "Atlantic/Azores")
	f.Add("previous-day", uint32(1_541_300_000), "America/Sao_Paulo")
	f.Add("previous-hour", uint32(1_775_318_400), "Australia/Lord_Howe")
	f.Fuzz(func(t *testing.T, text string, unix uint32, zoneName string) {
		args := ReportArgs{ID: "r", TimeZone: zoneName}
		zone, err := args.zone()
		if err != nil {
			return
		}
		now := time.Unix(int64(unix), 0)
		span, err := parsePeriod(text, now, zone)
		if err != nil {
			oneLine(t, err.Error())
			return
		}
		if !span.end.After(span.start) || span.start.UTC().Year() < 1 || span.end.UTC().Year() > 9999 {
			t.Errorf("%q is from %s to %s", text, span.start, span.end)
		}
		if strings.HasPrefix(text, "previous-") && (span.end.After(now) || now.Sub(span.end) > 367*24*time.Hour) {
			t.Errorf("%q at %s is from %s to %s", text, now, span.start, span.end)
		}
		if len(text) == len(time.DateOnly) {
			checkDay(t, text, span, zone)
		}
	})
}

// checkDay checks that all moments of the period, and no others, have this date.
func checkDay(t *testing.T, date string, span period, zone *time.Location) {
	t.Helper()
	dateAt := func(at time.Time) string { return at.In(zone).Format(time.DateOnly) }
	if dateAt(span.start) != date || dateAt(span.end.Add(-1)) != date || dateAt(span.start.Add(-1)) == date || dateAt(span.end) == date {
		t.Errorf("%s is from %s to %s", date, span.start, span.end)
	}
}

// FuzzFirstWord checks that a comment before a statement hides nothing of it.
func FuzzFirstWord(f *testing.F) {
	for _, statement := range []string{
		"COMMIT", " ;commit--", "/* a /* b */ c */ ROLLBACK", "/*/ */END", "/***/ abort", "--\rCOMMIT", "(SELECT 1)", "é", "\xff", "/*", "--", "\x00",
	} {
		f.Add(statement, " a ")
	}
	f.Fuzz(func(t *testing.T, statement, comment string) {
		word := firstWord(statement)
		if word != "" && isLetter(rune(word[0])) && word != strings.ToUpper(word) || len(word) > len(statement) {
			t.Errorf("%q begins with %q", statement, word)
		}
		line := strings.NewReplacer("\n", "", "\r", "").Replace(comment)
		block := strings.NewReplacer("*", "", "/", "").Replace(comment)
		for _, before := range []string{" ", ";", "\r\n", "--" + line + "\n", "--" + line + "\r", "/*" + block + "*/", "/*/*" + block + "*/*/"} {
			if got := firstWord(before + statement); got != word {
				t.Errorf("%q begins with %q, and after %q with %q", statement, word, before, got)
			}
		}
	})
}

// FuzzIdentifiers checks that statements for any names of tables and columns differ from
// those for harmless names in the names alone.
func FuzzIdentifiers(f *testing.F) {
	f.Add("public", "radacct", "id", "name")
	f.Add(`a"b`, `"`, `"; DROP TABLE x; --`, `{table}`)
	f.Add("public", "t", `"; --`, `", "x`)
	f.Add("{columns}", "{key}", "\x00", "\xff")
	f.Fuzz(func(t *testing.T, schema, name, key, column string) {
		if key == column || strings.ContainsRune(schema+name+key+column, 0) {
			return // PostgreSQL has no names with a NUL
		}
		got, gotNames := withoutNames(t, statementsFor(t, schema, name, key, column))
		want, wantNames := withoutNames(t, statementsFor(t, "s", "t", "k", "c"))
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		actual := map[string]string{"s": schema, "t": name, "k": key, "c": column}
		for i, harmless := range wantNames {
			if gotNames[i] != actual[harmless] {
				t.Errorf("name %d is %q, want %q", i, gotNames[i], actual[harmless])
			}
		}
	})
}

// statementsFor returns the statements of the stock handlers that contain names of a
// tenant.
func statementsFor(t *testing.T, schema, name, key, column string) string {
	t.Helper()
	target := table{schema: schema, name: name}
	upsert, err := upsertStatement(target, []string{key, column}, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	c := &cleaner{job: &runner.Job[CleanupArgs]{Args: CleanupArgs{Column: column}}, target: target}
	count, err := statement("count_older", "table", target.sql(), "column", c.column(), "cutoff", "$1::timestamptz")
	if err != nil {
		t.Fatal(err)
	}
	return upsert + ";" + count
}

// withoutNames splits SQL into what is outside double quotes and what is inside.
func withoutNames(t *testing.T, sql string) (rest string, names []string) {
	t.Helper()
	for {
		before, quoted, found := strings.Cut(sql, `"`)
		rest += before
		if !found {
			return rest, names
		}
		rest += `""`
		var name string
		for {
			part, after, closed := strings.Cut(quoted, `"`)
			if !closed {
				t.Fatalf("a name does not end: %q", quoted)
			}
			name += part
			if quoted = after; !strings.HasPrefix(quoted, `"`) {
				break
			}
			name, quoted = name+`"`, quoted[1:]
		}
		names, sql = append(names, name), quoted
	}
}
