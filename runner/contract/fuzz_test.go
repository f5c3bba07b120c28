package contract_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/openradius/workspace-jobs/runner/contract"
)

// FuzzParseMessage checks that any text of a tenant's code is refused, or parsed to
// JSON within the limits that can be written and read again.
func FuzzParseMessage(f *testing.F) {
	f.Add(`{"result":{"rows":1},"error":"e","retryAfter":"1m"}`)
	f.Add(`null`)
	f.Add(`{"retryAfter":"-1s"}`)
	f.Add(`[]`)
	f.Add(`{"result":` + strings.Repeat("[", 2000))
	f.Add(`{"Result":null,"ERROR":"` + strings.Repeat(`\u0001`, 600) + `"}`)
	f.Add(`{"result":"\ud800` + "\xff" + `","retryAfter":"9223372036854775807ns"}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := contract.ParseMessage(text)
		if err != nil {
			return
		}
		if len(m.Result) > contract.MaxResult || len(m.Error) > 3*contract.MaxMessage {
			t.Errorf("the result has %d bytes, the error %d", len(m.Result), len(m.Error))
		}
		if m.Result != nil && !json.Valid(m.Result) || !utf8.ValidString(m.Error) {
			t.Errorf("%+v", m)
		}
		d, ok := m.Delay()
		if ok && d < 0 {
			t.Errorf("delay %s", d)
		}
		if m.RetryAfter != "" && !ok {
			m.RetryAfter = ""
		}
		roundTrip(t, m)
	})
}

// FuzzEncode checks that any message of a handler is refused, or fits and reads back.
func FuzzEncode(f *testing.F) {
	f.Add([]byte(`{"rows": 1}`), "error", "1m")
	f.Add([]byte(nil), strings.Repeat("\u2028\x01\xff<é", 1000), "0")
	f.Add([]byte(`"`+strings.Repeat("r", contract.MaxResult-2)+`"`), "e", "2562047h47m16.854775807s")
	f.Add([]byte("[1,\n2]"), "two\nlines", "-1s")
	f.Add([]byte("\"\xff\""), "…", "soon")
	f.Fuzz(func(t *testing.T, result []byte, text, retryAfter string) {
		m := contract.Message{Result: result, Error: text, RetryAfter: retryAfter}
		if _, err := m.Encode(); err != nil {
			_, delay := m.Delay()
			if json.Valid(result) && len(result) <= contract.MaxResult-100 && (delay || retryAfter == "") {
				t.Errorf("%+v was refused: %v", m, err)
			}
			return
		}
		roundTrip(t, m)
	})
}

// roundTrip encodes a valid message and reads it back.
func roundTrip(t *testing.T, m contract.Message) {
	t.Helper()
	encoded, err := m.Encode()
	if err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	if len(encoded) > contract.MaxMessage || bytes.ContainsAny(encoded, "\n\r") {
		t.Fatalf("%d bytes: %q", len(encoded), encoded)
	}
	got, err := contract.ParseMessage(string(encoded))
	if err != nil {
		t.Fatalf("%s does not read back: %v", encoded, err)
	}
	wantDelay, wants := m.Delay()
	if delay, ok := got.Delay(); ok != wants || delay != wantDelay {
		t.Errorf("delay %s, want %s", delay, wantDelay)
	}
	if kept := strings.TrimSuffix(got.Error, "…"); !strings.HasPrefix(valid(m.Error), kept) {
		t.Errorf("error %q, want %q", got.Error, m.Error)
	}
	if !reflect.DeepEqual(decoded(t, got.Result), decoded(t, m.Result)) {
		t.Errorf("result %s, want %s", got.Result, m.Result)
	}
}

// valid returns text as JSON can hold it.
func valid(text string) string { return string([]rune(text)) }

// decoded decodes JSON and keeps numbers as they are written.
func decoded(t *testing.T, raw json.RawMessage) any {
	t.Helper()
	if len(raw) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
