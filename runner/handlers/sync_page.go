package handlers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/openradius/workspace-jobs/runner"
)

// page is a parsed page: rows for the table and the URL of the next page.
type page struct {
	// rows is a JSON list of objects whose fields are columns.
	rows []byte
	// items is how many items the page had.
	items int
	// next is the next page's URL, empty after the last.
	next string
}

// parsePage parses a page. For one that is unchanged, it returns what is known about it.
// It is a permanent error if a page doesn't fit the arguments, since these have to change.
func parsePage(args *SyncArgs, address string, read response, known knownPage) (page, error) {
	if read.unchanged {
		return page{next: known.next}, nil
	}
	var parsed page
	items, err := itemsOf(args, read.body)
	if err != nil {
		return parsed, runner.Permanent(err)
	}
	parsed.items = len(items)
	if parsed.rows, err = rowsOf(args, items); err != nil {
		return parsed, runner.Permanent(err)
	}
	if parsed.next, err = nextOf(args, address, read); err != nil {
		return parsed, runner.Permanent(err)
	}
	if parsed.next == address {
		return parsed, runner.Permanent(fmt.Errorf("the next page is the same page: is %q the path of the right field?", args.Next))
	}
	return parsed, nil
}

func itemsOf(args *SyncArgs, body []byte) ([]json.RawMessage, error) {
	if !json.Valid(body) {
		return nil, fmt.Errorf("the page is not JSON")
	}
	list := json.RawMessage(body)
	if args.Items != "" {
		list = field(list, args.Items)
	}
	var items []json.RawMessage
	if err := json.Unmarshal(list, &items); list == nil || err != nil || items == nil {
		return nil, fmt.Errorf("the page has no list at %q: items must be the path of the list", args.Items)
	}
	return items, nil
}

// rowsOf converts items to rows. Of items with the same key only the last counts, since
// one statement can't write a row twice.
func rowsOf(args *SyncArgs, items []json.RawMessage) ([]byte, error) {
	rows := make([]map[string]json.RawMessage, 0, len(items))
	at := map[string]int{}
	for i, item := range items {
		row := map[string]json.RawMessage{}
		for column, path := range args.Columns {
			if value := field(item, path); value != nil {
				row[column] = value
			}
		}
		var key []string
		for _, column := range args.Key {
			value := canonical(row[column])
			if value == "" || value == "null" {
				return nil, fmt.Errorf("item %d has no %q, which the key needs", i+1, args.Columns[column])
			}
			key = append(key, value)
		}
		identity := strings.Join(key, "\n")
		if seen, ok := at[identity]; ok {
			rows[seen] = row
			continue
		}
		at[identity] = len(rows)
		rows = append(rows, row)
	}
	return json.Marshal(rows)
}

// canonical returns the same text for equal values, and "" if there is none. Numbers
// stay as they are.
func canonical(value json.RawMessage) string {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var decoded any
	if decoder.Decode(&decoded) != nil {
		return ""
	}
	encoded, err := json.Marshal(decoded)
	if err != nil {
		return ""
	}
	return string(encoded)
}

// field returns the value at a path with dots, or nil if there is none.
func field(value json.RawMessage, path string) json.RawMessage {
	for _, name := range strings.Split(path, ".") {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(value, &object); err != nil {
			return nil
		}
		value = object[name]
		if value == nil {
			return nil
		}
	}
	return value
}

// nextOf returns the next page's URL, or "" after the last page.
func nextOf(args *SyncArgs, address string, read response) (string, error) {
	current, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("the page's URL is not a URL")
	}
	if args.Next == "" {
		return resolve(current, linkNext(read.link))
	}
	value, err := cursorText(field(read.body, args.Next))
	if err != nil {
		return "", fmt.Errorf("at %q: %w", args.Next, err)
	}
	if args.CursorParam == "" || value == "" {
		return resolve(current, value)
	}
	first, err := url.Parse(args.URL)
	if err != nil {
		return "", fmt.Errorf("url is not a URL")
	}
	query := first.Query()
	query.Set(args.CursorParam, value)
	first.RawQuery = query.Encode()
	return first.String(), nil
}

// cursorText returns a JSON string or number as it goes into a URL. It returns "" for
// what sources have on their last page: nothing, null or false. It refuses everything
// else, since the pages that follow would be lost.
func cursorText(value json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text, nil
	}
	var number json.Number
	if json.Unmarshal(value, &number) == nil {
		return number.String(), nil
	}
	if trimmed := string(bytes.TrimSpace(value)); trimmed != "" && trimmed != "false" {
		return "", errors.New("the next page is neither a string nor a number")
	}
	return "", nil
}

func resolve(current *url.URL, reference string) (string, error) {
	if reference == "" {
		return "", nil
	}
	next, err := current.Parse(reference)
	if err != nil {
		return "", fmt.Errorf("the next page's URL is not a URL")
	}
	next.Fragment = ""
	return next.String(), nil
}

// linkNext returns the target with rel="next" in Link headers (RFC 8288).
func linkNext(headers []string) string {
	link := regexp.MustCompile(`<([^>]*)>([^<]*)`)
	for _, header := range headers {
		for _, found := range link.FindAllStringSubmatch(header, -1) {
			if regexp.MustCompile(`(?i);\s*rel\s*=\s*"?([^";]*\s)?next(\s[^";]*)?"?\s*(;|,|$)`).MatchString(found[2]) {
				return found[1]
			}
		}
	}
	return ""
}
