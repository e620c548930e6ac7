import java.util.Map;

import org.cometd.bayeux.server.BayeuxServer;
import org.cometd.server.BayeuxServerImpl;
import org.cometd.server.ext.AcknowledgedMessagesExtension;
import org.cometd.server.http.jakarta.CometDServlet;
import org.eclipse.jetty.ee11.servlet.ServletContextHandler;
import org.eclipse.jetty.ee11.servlet.ServletHolder;
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
        var servlet = new ServletHolder(new CometDServlet());
        Map.of(
            "cometdURLMapping", "/cometd/*",
            "ws.cometdURLMapping", "/cometd/*",
            "timeout", args[0],
            "maxInterval", args[1],
            "maxSessionsPerBrowser", args[2]
        ).forEach(servlet::setInitParameter);
        servlet.setAsyncSupported(true);
        servlet.setInitOrder(1);
        context.addServlet(servlet, "/cometd/*");
        server.start();
        var bayeux = (BayeuxServerImpl)context.getServletContext().getAttribute(BayeuxServer.ATTRIBUTE);
        bayeux.addExtension(new AcknowledgedMessagesExtension());
        System.out.println("{\"event\":\"listening\",\"port\":" + connector.getLocalPort() + "}");
        System.in.read();
        System.exit(0);
    }
}
