package handlers

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

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
