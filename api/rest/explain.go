package rest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

// item matches the number of an item in the path of a field.
var item = regexp.MustCompile(`\[\d+\]`)

// explain returns a transformer that says in a problem what a request may have instead, and
// removes what was in the fields that it names.
func explain(schemas huma.Registry) huma.Transformer {
	return func(ctx huma.Context, _ string, body any) (any, error) {
		problem, ok := body.(*huma.ErrorModel)
		if !ok {
			return body, nil
		}
		for _, each := range problem.Errors {
			each.Value = nil
			each.Message = explained(schemas, ctx.Operation(), each)
		}
		return body, nil
	}
}

// explained returns the fault's message with what is allowed, if the library does not say it.
func explained(schemas huma.Registry, operation *huma.Operation, fault *huma.ErrorDetail) string {
	switch fault.Message {
	case "unknown query parameter":
		return "there is no such parameter" + oneOf(parameters(operation))
	case validation.MsgUnexpectedProperty:
		return "there is no such field" + oneOf(fieldsBeside(schemas, operation, fault.Location))
	case "invalid boolean":
		return "must be true or false"
	case "invalid integer":
		return "must be a whole number" + rangeOf(operation, fault.Location)
	default:
		return fault.Message
	}
}

func oneOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ": use one of " + strings.Join(names, ", ")
}

// parameters returns the operation's query parameters.
func parameters(operation *huma.Operation) []string {
	var names []string
	for _, each := range operation.Parameters {
		if each.In == "query" {
			names = append(names, each.Name)
		}
	}
	return names
}

// rangeOf returns which numbers a parameter may have.
func rangeOf(operation *huma.Operation, location string) string {
	for _, each := range operation.Parameters {
		if each.In+"."+each.Name == location && each.Schema.Minimum != nil && each.Schema.Maximum != nil {
			return fmt.Sprintf(" from %g to %g", *each.Schema.Minimum, *each.Schema.Maximum)
		}
	}
	return ""
}

// fieldsBeside returns the fields of the object in the request's body that location is in.
func fieldsBeside(schemas huma.Registry, operation *huma.Operation, location string) []string {
	if operation.RequestBody == nil || operation.RequestBody.Content["application/json"] == nil {
		return nil
	}
	at := resolve(schemas, operation.RequestBody.Content["application/json"].Schema)
	path := strings.Split(item.ReplaceAllString(location, ".[]"), ".")
	for _, name := range path[1 : len(path)-1] {
		next := resolve(schemas, at.Properties[name])
		if name == "[]" {
			next = resolve(schemas, at.Items)
		}
		if next == nil {
			break // the field's own name has a dot
		}
		at = next
	}
	return slices.Sorted(maps.Keys(at.Properties))
}

func resolve(schemas huma.Registry, schema *huma.Schema) *huma.Schema {
	if schema != nil && schema.Ref != "" {
		return schemas.SchemaFromRef(schema.Ref)
	}
	return schema
}
