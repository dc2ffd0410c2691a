// Reads Grafana dashboards as Grafana's own schema has them, and says what does not fit: an unknown
// field, a wrong type, a missing one, a panel or a query of a kind that is not registered here.
//
//	grafanaschema FILE...   prints each finding on a line and exits with 1 if there is one
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func register() {
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(statetimeline.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
}

// The schema takes panels of unknown kinds as they are; here they are a finding.
func checkKinds(read dashboard.Dashboard) error {
	for _, one := range read.Panels {
		if one.Panel == nil {
			return fmt.Errorf("has a row")
		}
		if _, known := cog.ConfigForPanelcfgVariant(one.Panel.Type); !known {
			return fmt.Errorf("panel %q is of the unknown kind %q", *one.Panel.Title, one.Panel.Type)
		}
	}
	return nil
}

// The library answers with a list of findings, and with an empty one when there is none.
func findings(err error) error {
	var all cog.BuildErrors
	if errors.As(err, &all) && len(all) == 0 {
		return nil
	}
	return err
}

// What was read strictly is incomplete, because the library takes an empty list for an error: it is read again.
func check(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var strict, read dashboard.Dashboard
	if err := findings(strict.UnmarshalJSONStrict(text)); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	if err := findings(read.Validate()); err != nil {
		return err
	}
	if newest := dashboard.NewDashboard().SchemaVersion; read.SchemaVersion != newest {
		return fmt.Errorf("has schemaVersion %d, not %d", read.SchemaVersion, newest)
	}
	return checkKinds(read)
}

func main() {
	register()
	code := 0
	for _, path := range os.Args[1:] {
		if err := check(path); err != nil {
			fmt.Printf("%s: %v\n", path, err)
			code = 1
		}
	}
	os.Exit(code)
}
