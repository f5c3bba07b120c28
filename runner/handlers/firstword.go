package handlers

import (
	"strings"
	"unicode/utf8"
)

// firstWord returns a statement's first word in upper case, or its first character if
// that is not a letter. It skips comments, which can be nested in PostgreSQL.
func firstWord(statement string) string {
	rest := afterComments(statement)
	end := strings.IndexFunc(rest, func(r rune) bool { return !isLetter(r) })
	switch {
	case rest == "":
		return ""
	case end < 0:
		end = len(rest)
	case end == 0:
		_, size := utf8.DecodeRuneInString(rest)
		return rest[:size]
	}
	return strings.ToUpper(rest[:end])
}

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_' }

// afterComments returns what follows white space, comments and empty statements.
func afterComments(statement string) string {
	for {
		statement = strings.TrimLeft(statement, " \t\r\n\f\v;")
		switch {
		case strings.HasPrefix(statement, "--"):
			statement = statement[endOfLine(statement):]
		case strings.HasPrefix(statement, "/*"):
			statement = afterBlock(statement)
		default:
			return statement
		}
	}
}

// endOfLine returns where a line ends. PostgreSQL accepts either character as its end.
func endOfLine(text string) int {
	if end := strings.IndexAny(text, "\r\n"); end >= 0 {
		return end
	}
	return len(text)
}

// afterBlock returns what follows the block comment that a statement begins with, or
// nothing if the comment does not end.
func afterBlock(statement string) string {
	depth := 0
	for i := 0; i+1 < len(statement); i++ {
		switch statement[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
		}
		if depth == 0 {
			return statement[i+1:]
		}
	}
	return ""
}
