package contract_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/openradius/workspace-jobs/runner/contract"
)

func TestEncodeFits(t *testing.T) {
	t.Parallel()
	full := json.RawMessage(`"` + strings.Repeat("r", contract.MaxResult-2) + `"`)
	for name, m := range map[string]contract.Message{
		"empty":               {},
		"short":               {Error: "no <b>such</b> table & no \"column\""},
		"long error":          {Error: strings.Repeat("long ", 5000)},
		"wide characters":     {Error: strings.Repeat("žluťoučký ", 2000)},
		"a long-winded delay": {RetryAfter: strings.Repeat("1h", 5000)},
		"control characters":  {Error: strings.Repeat("\x01", 5000)},
		"not UTF-8":           {Error: strings.Repeat("\xff", 5000)},
		"everything":          {Result: full, Error: strings.Repeat("\x01", 5000), RetryAfter: "2562047h47m16.854775807s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			encoded, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if len(encoded) > contract.MaxMessage || !utf8.Valid(encoded) {
				t.Fatalf("%d bytes, valid UTF-8: %v", len(encoded), utf8.Valid(encoded))
			}
			got, err := contract.ParseMessage(string(encoded))
			if err != nil {
				t.Fatalf("does not read back: %v", err)
			}
			if m.Error != "" && name != "everything" && got.Error == "" {
				t.Error("the error was lost")
			}
			if len(m.Error) > contract.MaxMessage && name != "everything" && !strings.HasSuffix(got.Error, "…") {
				t.Error("the cut is not marked")
			}
			if string(got.Result) != string(m.Result) {
				t.Errorf("result %s", got.Result)
			}
		})
	}
}

func TestEncodeUsesTheSpace(t *testing.T) {
	t.Parallel()
	encoded, err := contract.Message{Error: strings.Repeat("a", 5000)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(encoded) < contract.MaxMessage-4 {
		t.Errorf("used only %d of %d bytes", len(encoded), contract.MaxMessage)
	}
}

func TestEncodeLeavesHTMLAlone(t *testing.T) {
	t.Parallel()
	encoded, err := contract.Message{Error: "a<b && c>d", Result: json.RawMessage(`{"q":"<&>"}`)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"result":{"q":"<&>"},"error":"a<b && c>d"}`; string(encoded) != want {
		t.Errorf("got %s, want %s", encoded, want)
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]contract.Message{
		"a result that is too long": {Result: json.RawMessage(`"` + strings.Repeat("r", contract.MaxResult) + `"`)},
		"a result that is not JSON": {Result: json.RawMessage(`{`)},
		"an overlong delay":         {RetryAfter: strings.Repeat("9", 5000) + "h"},
		"not a delay":               {RetryAfter: "soon"},
		"a negative delay":          {RetryAfter: "-1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if encoded, err := m.Encode(); err == nil {
				t.Errorf("encoded as %s", encoded)
			}
		})
	}
}
