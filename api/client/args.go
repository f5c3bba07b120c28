package client

import (
	"encoding/json"
	"fmt"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// encode returns arguments as the JSON object that they must be; nil for none.
func encode(args any) (*apiextensionsv1.JSON, error) {
	if args == nil {
		return nil, nil
	}
	text, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("encode the job's arguments: %w", err)
	}
	if len(text) == 0 || text[0] != '{' {
		return nil, fmt.Errorf("a job's arguments must be a JSON object, which a %T is not", args)
	}
	return &apiextensionsv1.JSON{Raw: text}, nil
}

// prefixOf returns the beginning of a name that the API server completes: the handler's
// name, as far as an object's name allows.
func prefixOf(handler string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '-'
		}
	}, handler), "-")
	if name == "" {
		name = "job"
	}
	// The API server adds five characters.
	return strings.TrimRight(name[:min(len(name), 52)], "-") + "-"
}
