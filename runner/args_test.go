package runner

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openradius/workspace-jobs/runner/contract"
)

type testArgs struct {
	embeddedArgs

	Table  string   `json:"table"`
	Limit  int      `json:"limit"`
	Names  []string `json:"names"`
	Nested struct {
		Deep bool `json:"deep"`
	} `json:"nested"`
	Plain string
	Skip  string `json:"-"`
}

type embeddedArgs struct {
	Inner string `json:"inner"`
}

func (a *testArgs) Validate() error {
	if a.Limit == 0 {
		a.Limit = 7
	}
	if a.Limit < 0 {
		return errors.New("limit is below 0")
	}
	return nil
}

func TestDecodeArgs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		raw  string
		want testArgs
		err  string
	}{
		"defaults":             {raw: `{}`, want: testArgs{Limit: 7}},
		"values":               {raw: `{"table":"t","limit":3,"inner":"i"}`, want: testArgs{Table: "t", Limit: 3, embeddedArgs: embeddedArgs{"i"}}},
		"unknown field":        {raw: `{"tabel":"t"}`, err: `unknown field "tabel"; it takes inner, table, limit, names, nested, Plain`},
		"another case":         {raw: `{"Table":"t"}`, err: `unknown field "Table"`},
		"two unknown fields":   {raw: `{"b":1,"a":1}`, err: `unknown field "a", "b"`},
		"nested unknown field": {raw: `{"nested":{"deeper":true}}`, err: `unknown field "deeper"`},
		"wrong type":           {raw: `{"limit":"3"}`, err: `limit must be a whole number, not a string`},
		"wrong nested type":    {raw: `{"nested":{"deep":1}}`, err: `nested.deep must be true or false, not a number`},
		"a fraction":           {raw: `{"limit":1.5}`, err: `limit must be a whole number`},
		"refused by Validate":  {raw: `{"limit":-1}`, err: `limit is below 0`},
		"a list":               {raw: `[]`, err: `not a JSON object`},
		"null":                 {raw: `null`, err: `not a JSON object`},
		"not JSON":             {raw: `{"a"`, err: `not a JSON object`},
		"two objects":          {raw: `{} {}`, err: `not a JSON object`},
		"too long":             {raw: `{"table":"` + strings.Repeat("x", contract.MaxArgs) + `"}`, err: "at most 65536 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeArgs[testArgs](json.RawMessage(test.raw))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(testArgs{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeArgsOfNone(t *testing.T) {
	t.Parallel()
	_, err := decodeArgs[struct{}](json.RawMessage(`{"a":1}`))
	if err == nil || !strings.Contains(err.Error(), `unknown field "a"; it takes none`) {
		t.Errorf("error %v", err)
	}
	got, err := decodeArgs[map[string]any](json.RawMessage(`{"a":1}`))
	if err != nil || got["a"] != 1.0 {
		t.Errorf("a map should accept any field: %v, %v", got, err)
	}
}
