package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	tlog "go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
)

var services = []primitives.ServiceName{
	primitives.FrontendService, primitives.HistoryService, primitives.MatchingService, primitives.WorkerService,
}

func freePort(ip string) (int, error) {
	listener, err := net.Listen("tcp", ip+":0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// openDatabase makes the SQLite schema when the file is new, and every namespace that is asked for.
func openDatabase(o options) (*config.SQL, error) {
	sql := &config.SQL{PluginName: sqliteplugin.PluginName}
	fresh := false
	if o.databaseFile == "" {
		sql.ConnectAttributes = map[string]string{"mode": "memory", "cache": "shared"}
		sql.DatabaseName = "temporal"
	} else {
		if err := os.MkdirAll(filepath.Dir(o.databaseFile), 0o755); err != nil {
			return nil, err
		}
		_, err := os.Stat(o.databaseFile)
		fresh = os.IsNotExist(err)
		sql.ConnectAttributes = map[string]string{"mode": "rwc"}
		sql.DatabaseName = o.databaseFile
	}
	for _, pragma := range o.pragmas {
		name, value, _ := strings.Cut(pragma, "=")
		sql.ConnectAttributes[name] = value
	}
	if fresh {
		if err := sqliteschema.SetupSchema(sql); err != nil {
			return nil, fmt.Errorf("schema: %w", err)
		}
	}
	attributes, err := o.attributeTypes()
	if err != nil {
		return nil, err
	}
	var namespaces []*sqliteschema.NamespaceConfig
	for _, name := range o.namespaces {
		namespace, err := sqliteschema.NewNamespaceConfig("active", name, false, attributes)
		if err != nil {
			return nil, fmt.Errorf("namespace %s: %w", name, err)
		}
		namespaces = append(namespaces, namespace)
	}
	return sql, sqliteschema.CreateNamespaces(sql, namespaces...)
}

// newServer puts all four Temporal services in this process.
func newServer(o options) (temporal.Server, error) {
	sql, err := openDatabase(o)
	if err != nil {
		return nil, err
	}
	if o.httpPort == 0 {
		if o.httpPort, err = freePort(o.ip); err != nil {
			return nil, err
		}
	}
	address := fmt.Sprintf("%s:%d", o.ip, o.port)

	var conf config.Config
	conf.Global.Membership.MaxJoinDuration = 30 * time.Second
	conf.Global.Membership.BroadcastAddress = o.ip
	conf.Persistence.DefaultStore = "sqlite"
	conf.Persistence.VisibilityStore = "sqlite"
	conf.Persistence.NumHistoryShards = 1
	conf.Persistence.DataStores = map[string]config.DataStore{"sqlite": {SQL: sql}}
	conf.ClusterMetadata = &cluster.Config{
		FailoverVersionIncrement: 10, MasterClusterName: "active", CurrentClusterName: "active",
		ClusterInformation: map[string]cluster.ClusterInformation{"active": {
			Enabled: true, InitialFailoverVersion: 1, RPCAddress: address, HTTPAddress: fmt.Sprintf("%s:%d", o.ip, o.httpPort),
		}},
	}
	conf.DCRedirectionPolicy.Policy = "noop"
	conf.Archival.History.State, conf.Archival.Visibility.State = "disabled", "disabled"
	conf.NamespaceDefaults.Archival.History.State, conf.NamespaceDefaults.Archival.Visibility.State = "disabled", "disabled"
	conf.PublicClient.HostPort = address

	conf.Services = map[string]config.Service{}
	hosts := map[primitives.ServiceName]static.Hosts{}
	for _, name := range services {
		var service config.Service
		service.RPC.BindOnIP = o.ip
		if name == primitives.FrontendService {
			service.RPC.GRPCPort, service.RPC.HTTPPort = o.port, o.httpPort
		} else if service.RPC.GRPCPort, err = freePort(o.ip); err != nil {
			return nil, err
		}
		conf.Services[string(name)] = service
		hosts[name] = static.SingleLocalHost(fmt.Sprintf("%s:%d", o.ip, service.RPC.GRPCPort))
	}

	values, err := o.dynamicValues()
	if err != nil {
		return nil, err
	}
	dynamic := dynamicconfig.StaticClient{}
	for key, value := range values {
		dynamic[dynamicconfig.MakeKey(key)] = value
	}

	logger := tlog.NewZapLogger(tlog.BuildZapLogger(tlog.Config{Stdout: true, Level: o.logLevel}))
	authorizer, err := authorization.GetAuthorizerFromConfig(&conf.Global.Authorization)
	if err != nil {
		return nil, err
	}
	claims, err := authorization.GetClaimMapperFromConfig(&conf.Global.Authorization, logger)
	if err != nil {
		return nil, err
	}
	return temporal.NewServer(
		temporal.WithConfig(&conf),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claims }),
		temporal.WithDynamicConfigClient(dynamic),
	)
}
