package handlers

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5/pgconn"

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

// FuzzParsePage checks that a page is refused in one line, or that its rows have only the
// columns that were asked for, each row has another key, and the next page is another.
func FuzzParsePage(f *testing.F) {
	f.Add([]byte(`[{"id":1,"name":"a"},{"id":1.0},{"id":"1"}]`), "", "", "", `<https://example.net/2>; rel="next"`)
	f.Add([]byte(`{"data":{"items":[{"id":"a"},{"id":"\u0061"}]},"next":"?page=2"}`), "data.items", "next", "", "")
	f.Add([]byte(`{"items":[{"id":null}],"cursor":1e400}`), "items", "cursor", "after", "")
	f.Add([]byte(`{"items":[],"next":"//elsewhere/%zz"}`), "items", "next", "", "")
	f.Add([]byte(`{"items":null}`), "items", "..", "", "<>; rel=next")
	f.Add([]byte(`[]`), "", "", "", "<?page=2#top>; rel=next")
	f.Add([]byte("[{\"id\":\"\xff\\ud800\"}]"), "", "", "", "<#>;rel=next")
	f.Fuzz(func(t *testing.T, body []byte, items, next, cursorParam, link string) {
		args := &SyncArgs{
			URL: "https://example.net/list?a=b", Table: "t", Columns: map[string]string{"id": "id", "name": "name.first"}, Key: []string{"id"},
			Items: items, Next: next, CursorParam: cursorParam,
		}
		if args.Validate() != nil {
			return
		}
		address := "https://example.net/list?a=b&page=1"
		read, err := parsePage(args, address, response{body: body, link: []string{link}}, knownPage{})
		if err != nil {
			oneLine(t, err.Error())
			return
		}
		if read.next == address || strings.Contains(read.next, "#") {
			t.Errorf("the next page is %q", read.next)
		}
		if following, err := url.Parse(read.next); err != nil || read.next != "" && following.Scheme == "" {
			t.Errorf("the next page is %q: %v", read.next, err)
		}
		checkRows(t, read)
	})
}

func checkRows(t *testing.T, read page) {
	t.Helper()
	var rows []map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(read.rows)))
	decoder.UseNumber()
	if err := decoder.Decode(&rows); err != nil || rows == nil || len(rows) > read.items {
		t.Fatalf("%d rows of %d items, %v: %s", len(rows), read.items, err, read.rows)
	}
	var keys []any
	for _, row := range rows {
		for column := range row {
			if column != "id" && column != "name" {
				t.Errorf("unexpected column %q", column)
			}
		}
		for _, key := range keys {
			if row["id"] == nil || reflect.DeepEqual(key, row["id"]) {
				t.Errorf("two rows have the key %v", key)
			}
		}
		keys = append(keys, row["id"])
	}
}

// FuzzHeaders checks that what is read from headers is within bounds, and that a link of
// the usual form is found.
func FuzzHeaders(f *testing.F) {
	f.Add("120", `<https://example.net/2>; rel="next"`)
	f.Add("-1", `<a>; rel=prev, <b>; title="x;rel=next"; rel="last next"`)
	f.Add("99999999999999999999", "<")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT", "<>;rel=next,")
	f.Fuzz(func(t *testing.T, retry, link string) {
		if wait, ok := retryAfter(retry, time.Unix(1_790_000_000, 0)); wait < 0 || wait > longestWait || !ok && wait != 0 {
			t.Errorf("Retry-After %q is %s", retry, wait)
		}
		if found := linkNext([]string{link}); !strings.Contains(link, "<"+found+">") && found != "" {
			t.Errorf("the next of %q is %q", link, found)
		}
		if target := http.CanonicalHeaderKey(link); !strings.ContainsAny(target, "<>") {
			if found := linkNext([]string{`<a>; rel="prev"`, "<" + target + `>; rel="next"`}); found != target {
				t.Errorf("the next is %q, want %q", found, target)
			}
		}
	})
}

// FuzzDocument checks that a report with any rows reads back from CSV and from JSON as it
// was.
func FuzzDocument(f *testing.F) {
	f.Add("a", []byte("1"), []byte("x"), uint32(23))
	f.Add(`"`, []byte("NaN"), []byte(""), uint32(701))
	f.Add("", []byte("{}\n"), []byte("\r\n,\"\\."), uint32(3802))
	f.Add("\xff", []byte("\xff"), []byte("=1+1"), uint32(25))
	f.Fuzz(func(t *testing.T, name string, first, second []byte, oid uint32) {
		one := []pgconn.FieldDescription{{Name: name, DataTypeOID: oid}}
		checkDocument(t, one, [][][]byte{{first}, {second}, {nil}, {[]byte("last")}})
		checkDocument(t, append(one, pgconn.FieldDescription{Name: name + "2"}), [][][]byte{{first, second}, {nil, nil}, {second, first}})
	})
}

func checkDocument(t *testing.T, fields []pgconn.FieldDescription, rows [][][]byte) {
	t.Helper()
	made := &document{}
	for _, row := range rows {
		if err := made.add(fields, row); err != nil {
			t.Fatal(err)
		}
	}
	csvText, jsonText := made.finish()
	var objects []map[string]any
	if err := json.Unmarshal([]byte(jsonText), &objects); err != nil && !errors.As(err, new(*json.UnmarshalTypeError)) || len(objects) != len(rows) {
		t.Errorf("%d objects of %d rows, %v: %s", len(objects), len(rows), err, jsonText)
	}
	records, err := csv.NewReader(strings.NewReader(csvText)).ReadAll()
	if err != nil || len(records) != len(rows)+1 {
		t.Fatalf("%d records of %d rows, %v: %q", len(records), len(rows), err, csvText)
	}
	for i, row := range rows {
		for j, value := range row {
			// encoding/csv documents that it reads \r\n as \n.
			if want := strings.ReplaceAll(string(value), "\r\n", "\n"); records[i+1][j] != want {
				t.Errorf("%q reads back as %q", want, records[i+1][j])
			}
		}
	}
}
