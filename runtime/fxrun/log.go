package main

import (
	"io"
	"log/slog"

	"github.com/urfave/cli/v2"

	"fx/cli/ui"
)

const logFormatFlag = "log-format"

func logFlag() cli.Flag {
	return &cli.StringFlag{Name: logFormatFlag, Value: "auto", Usage: "log as `FORMAT` text, json, or auto: text on a terminal, JSON lines elsewhere"}
}

// newLog makes the log of a running participant on standard error.
func newLog(c *cli.Context) (*slog.Logger, error) {
	console := ui.From(c)
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if console.Quiet {
		o.Level = slog.LevelWarn
	}
	format := c.String(logFormatFlag)
	if format == "auto" {
		format = "json"
		if console.ErrIsTerminal() {
			format = "text"
		}
	}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(console.Err, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(cleanWriter{console.Err}, o)), nil
	}
	return nil, ui.Usagef("--%s is %q; allowed are auto, text and json", logFormatFlag, format)
}

// cleanWriter keeps log lines from driving the terminal.
type cleanWriter struct{ w io.Writer }

func (c cleanWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(c.w, ui.Clean(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
