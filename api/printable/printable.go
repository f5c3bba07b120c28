// Package printable makes text that a tenant's code wrote safe to show to others, such
// as an engineer on call.
package printable

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text replaces what a terminal or a page would obey rather than show by U+FFFD: control
// characters, marks that turn the direction of writing, Unicode's separators of lines and
// paragraphs, and bytes that are not UTF-8. Tabs stay, and so do line ends, each as \n:
// a runner on Windows or a progress bar ends its lines with a carriage return.
func Text(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return r
		}
		return utf8.RuneError
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
}
