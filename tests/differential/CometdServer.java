import java.util.Map;

import org.cometd.server.BayeuxServerImpl;
import org.cometd.server.ext.AcknowledgedMessagesExtension;
import org.cometd.server.http.JSONHttpTransport;
import org.cometd.server.http.JSONPHttpTransport;
import org.cometd.server.http.jakarta.CometDServlet;
import org.cometd.server.websocket.jetty.JettyWebSocketTransport;
import org.eclipse.jetty.ee11.servlet.ServletContextHandler;
import org.eclipse.jetty.ee11.servlet.ServletHolder;
import org.eclipse.jetty.server.Context;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.websocket.server.WebSocketUpgradeHandler;

/** The reference server as it comes, with the time-outs of the scripts. Prints its port and ends with its standard input. */
public class CometdServer {
    public static void main(String[] args) throws Exception {
        var server = new Server();
        var connector = new ServerConnector(server, 1, 1);
        connector.setHost("127.0.0.1");
        server.addConnector(connector);
        var context = new ServletContextHandler("/");
        server.setHandler(context);
        context.insertHandler(WebSocketUpgradeHandler.from(server, context));
        var servlet = new ServletHolder(new CometDServlet() {
            @Override
            protected BayeuxServerImpl newBayeuxServer() {
                var bayeux = new BayeuxServerImpl();
                bayeux.setTransports(
                    new JettyWebSocketTransport(bayeux), new JSONHttpTransport(bayeux), new JSONPHttpTransport(bayeux));
                bayeux.addExtension(new AcknowledgedMessagesExtension());
                bayeux.setOption(Context.class.getName(), context.getContext());
                return bayeux;
            }
        });
        Map.of(
            "cometdURLMapping", "/cometd/*",
            "ws.cometdURLMapping", "/cometd/*",
            "timeout", args[0],
            "maxInterval", args[1],
            // Halley is tested for this elsewhere; here a browser may have several sessions.
            "maxSessionsPerBrowser", "-1"
        ).forEach(servlet::setInitParameter);
        servlet.setAsyncSupported(true);
        servlet.setInitOrder(1);
        context.addServlet(servlet, "/cometd/*");
        server.start();
        System.out.println(connector.getLocalPort());
        System.in.read();
        System.exit(0);
    }
}
