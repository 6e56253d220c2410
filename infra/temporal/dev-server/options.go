package main

import (
	"flag"
	"fmt"
	"strings"

	"go.temporal.io/api/enums/v1"
	"gopkg.in/yaml.v3"
)

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string         { return strings.Join(*l, ",") }
func (l *list) Set(value string) error { *l = append(*l, value); return nil }

// options are those of `temporal server start-dev` that the embedded stack and the test library use.
type options struct {
	ip               string
	port             int
	httpPort         int
	uiPort           int
	databaseFile     string
	logLevel         string
	headless         bool
	namespaces       list
	searchAttributes list
	dynamicConfig    list
	pragmas          list
}

func parseOptions(args []string) (options, error) {
	if len(args) >= 2 && args[0] == "server" && args[1] == "start-dev" {
		args = args[2:]
	}
	var o options
	set := flag.NewFlagSet("temporal", flag.ContinueOnError)
	set.StringVar(&o.ip, "ip", "127.0.0.1", "address to listen on")
	set.IntVar(&o.port, "port", 7233, "gRPC port")
	set.IntVar(&o.httpPort, "http-port", 0, "HTTP port (0: any free one)")
	set.IntVar(&o.uiPort, "ui-port", 8233, "Web UI port")
	set.StringVar(&o.databaseFile, "db-filename", "", "SQLite file (empty: in memory)")
	set.StringVar(&o.logLevel, "log-level", "warn", "debug, info, warn or error")
	set.String("log-format", "", "accepted and not used")
	set.BoolVar(&o.headless, "headless", false, "no Web UI")
	set.Var(&o.namespaces, "namespace", "namespace to create (repeatable)")
	set.Var(&o.searchAttributes, "search-attribute", "Name=Type, on a new database only (repeatable)")
	set.Var(&o.dynamicConfig, "dynamic-config-value", "key=YAML value (repeatable)")
	set.Var(&o.pragmas, "sqlite-pragma", "name=value (repeatable)")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	if len(o.namespaces) == 0 {
		o.namespaces = list{"default"}
	}
	return o, nil
}

func (o options) attributeTypes() (map[string]enums.IndexedValueType, error) {
	types := map[string]enums.IndexedValueType{}
	for _, text := range o.searchAttributes {
		name, kind, _ := strings.Cut(text, "=")
		value, err := enums.IndexedValueTypeFromString(kind)
		if err != nil {
			return nil, fmt.Errorf("search attribute %s: %w", text, err)
		}
		types[name] = value
	}
	return types, nil
}

func (o options) dynamicValues() (map[string]any, error) {
	values := map[string]any{}
	for _, text := range o.dynamicConfig {
		key, raw, _ := strings.Cut(text, "=")
		var value any
		if err := yaml.Unmarshal([]byte(raw), &value); err != nil {
			return nil, fmt.Errorf("dynamic config %s: %w", text, err)
		}
		values[key] = value
	}
	return values, nil
}
