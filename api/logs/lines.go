package logs

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Position is where a line is in a log: its time, and its number among the lines of the same
// time. The zero Position is before every line.
type Position struct {
	at     time.Time
	number int
}

// ParsePosition reads what String wrote.
func ParsePosition(text string) (Position, error) {
	at, number, _ := strings.Cut(text, "/")
	p := Position{}
	var err error
	if p.at, err = time.Parse(time.RFC3339Nano, at); err == nil {
		p.number, err = strconv.Atoi(number)
	}
	return p, err
}

// String writes the position in UTC, whatever the node's time zone.
func (p Position) String() string {
	return p.at.UTC().Format(time.RFC3339Nano) + "/" + strconv.Itoa(p.number)
}

// Time is when the line was written.
func (p Position) Time() time.Time { return p.at }

// IsZero reports whether p is the position of no line.
func (p Position) IsZero() bool { return p.number == 0 }

// After reports whether p comes after other.
func (p Position) After(other Position) bool {
	return p.at.After(other.at) || p.at.Equal(other.at) && p.number > other.number
}

// next returns the position of the line behind p that has this time.
func (p Position) next(at time.Time) Position {
	if p.at.Equal(at) {
		return Position{at, p.number + 1}
	}
	return Position{at, 1}
}

// Line is a line of a log without its end, or a part of a long line.
type Line struct {
	Text string
	// Position is that of the line. It is zero if the log is read without times, and for what
	// the kubelet itself says.
	Position Position
	// More reports whether the line continues in the next part.
	More bool
}

// Lines reads a log line by line.
type Lines struct {
	reader *bufio.Reader
	timed  bool

	// last is the position of the last line with a time, line that of the line that is read.
	last, line Position
	// within reports whether the next part continues a line, and cut is the beginning of a
	// character that the last part left to it.
	within bool
	cut    []byte
}

// NewLines reads a log whose lines begin with their times if timed, which is how the API
// server sends them on request. A line that is longer than limit bytes comes in parts, none
// of which ends within a character.
func NewLines(log io.Reader, limit int, timed bool) *Lines {
	return &Lines{reader: bufio.NewReaderSize(log, limit), timed: timed}
}

// Next returns the next line or part of one. It returns io.EOF at the end of the log.
func (l *Lines) Next() (Line, error) {
	text, more, err := l.reader.ReadLine()
	if err != nil {
		return Line{}, err
	}
	if !l.within {
		l.line = Position{}
		if at, rest, ok := cutTime(text); l.timed && ok {
			l.last = l.last.next(at)
			l.line, text = l.last, rest
		}
	}
	l.within = more
	text = append(l.cut, text...)
	l.cut = nil
	if more {
		text, l.cut = wholeRunes(text)
	}
	return Line{string(text), l.line, more}, nil
}

// cutTime splits a line that begins with its time.
func cutTime(line []byte) (at time.Time, text []byte, ok bool) {
	written, text, _ := bytes.Cut(line, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(written))
	return at, text, err == nil
}

// wholeRunes splits a part before a character that it has only the beginning of.
func wholeRunes(part []byte) (whole, cut []byte) {
	for i := 1; i < utf8.UTFMax && i <= len(part); i++ {
		tail := part[len(part)-i:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				break
			}
			return part[:len(part)-i], bytes.Clone(tail)
		}
	}
	return part, nil
}
