package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/openradius/workspace-jobs/runner/contract"
)

// validator is implemented by argument types that refuse values of the right type.
// With a pointer receiver, Validate may also fill in defaults.
type validator interface{ Validate() error }

// decodeArgs reads a JSON object into T. It refuses fields that T does not have, and
// what T's Validate refuses.
func decodeArgs[T any](raw json.RawMessage) (T, error) {
	var args T
	if len(raw) > contract.MaxArgs {
		return args, fmt.Errorf("they are %d bytes long; at most %d are allowed", len(raw), contract.MaxArgs)
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &given); err != nil || given == nil {
		return args, errors.New("they are not a JSON object")
	}
	if err := checkFields(reflect.TypeFor[T](), given); err != nil {
		return args, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&args); err != nil {
		return args, explainJSON(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return args, errors.New("something follows the JSON object")
	}
	if v, ok := any(&args).(validator); ok {
		return args, v.Validate()
	}
	return args, nil
}

// checkFields refuses fields that t does not have. Its error lists those that t has.
func checkFields(t reflect.Type, given map[string]json.RawMessage) error {
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	allowed := fieldNames(t)
	var unknown []string
	for name := range given {
		if !slices.Contains(allowed, name) {
			unknown = append(unknown, fmt.Sprintf("%q", name))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	takes := "it takes none"
	if len(allowed) > 0 {
		takes = "it takes " + strings.Join(allowed, ", ")
	}
	return fmt.Errorf("unknown field %s; %s", strings.Join(unknown, ", "), takes)
}

// fieldNames returns the JSON names of a struct's fields, in their order.
func fieldNames(t reflect.Type) []string {
	var names []string
	if t.Kind() != reflect.Struct {
		return names
	}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case field.Anonymous && name == "":
			embedded := field.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			names = append(names, fieldNames(embedded)...)
		case !field.IsExported():
		case name != "":
			names = append(names, name)
		default:
			names = append(names, field.Name)
		}
	}
	return names
}

// explainJSON says what is wrong in terms of JSON, for people who don't know Go's
// types.
func explainJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s must be %s, not a %s", wrong.Field, kindName(wrong.Type), wrong.Value)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number of at least 0"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Pointer:
		return kindName(t.Elem())
	default:
		return "an object"
	}
}
