package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// MaxMessage is the length of a condition's message, in bytes.
	MaxMessage = 2048
	// MaxNote is the length of an event's note, in bytes. The API server accepts 1,024.
	MaxNote = 1000
)

// Clip cuts text to at most limit bytes, and only between characters.
func Clip(text string, limit int) string {
	const mark = "…"
	if len(text) <= limit {
		return text
	}
	cut := limit - len(mark)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + mark
}

// maxListed is how many names a text lists.
const maxListed = 3

// Listed quotes the first names and counts the others.
func Listed(names []string) string {
	quoted := make([]string, 0, maxListed)
	for _, name := range names[:min(len(names), maxListed)] {
		quoted = append(quoted, strconv.Quote(name))
	}
	text := strings.Join(quoted, ", ")
	if more := len(names) - maxListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Names returns the names of objects.
func Names[T any, P interface {
	*T
	client.Object
}](objects []T) []string {
	names := make([]string, len(objects))
	for i := range objects {
		names[i] = P(&objects[i]).GetName()
	}
	return names
}

// Hash returns a hash of the values as ten hexadecimal digits, which fit into a name. It
// panics if JSON can't encode a value, such as a channel.
func Hash(values ...any) string {
	encoded, err := json.Marshal(values)
	if err != nil {
		panic(fmt.Sprintf("hash %T: %v", values, err))
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:5])
}
