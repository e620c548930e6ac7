import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

import org.cometd.bayeux.Channel;
import org.cometd.bayeux.Message;
import org.cometd.bayeux.client.ClientSessionChannel;
import org.cometd.client.BayeuxClient;
import org.cometd.client.ext.AckExtension;
import org.cometd.client.http.jetty.JettyHttpClientTransport;
import org.cometd.client.transport.ClientTransport;
import org.cometd.common.JSONContext;
import org.cometd.common.JettyJSONContextClient;
import org.eclipse.jetty.client.HttpClient;

/** The CometD Java client: java Driver VERSION URL TRANSPORT [ack]. */
public class Driver {
    private static final JSONContext.Client JSON = new JettyJSONContextClient();
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    private final Set<String> subscriptions = ConcurrentHashMap.newKeySet();
    private final BayeuxClient client;

    private Driver(String url, List<ClientTransport> transports, boolean ack) {
        ClientTransport[] others = transports.subList(1, transports.size()).toArray(new ClientTransport[0]);
        client = new BayeuxClient(url, transports.get(0), others);
        if (ack) {
            client.addExtension(new AckExtension());
        }
        client.getChannel(Channel.META_HANDSHAKE).addListener((ClientSessionChannel.MessageListener)(channel, reply) -> {
            // A new session knows nothing of the subscriptions of the old one.
            if (reply.isSuccessful()) {
                client.batch(() -> subscriptions.forEach(this::subscribe));
            }
            // Only now: the first subscribe is told when this is heard.
            say("handshake", reply);
        });
    }

    public static void main(String[] args) throws Exception {
        Thread.setDefaultUncaughtExceptionHandler((thread, failure) -> {
            failure.printStackTrace();
            say("failed", Map.of("error", failure.toString()));
            System.exit(1);
        });
        String transport = args[2];
        List<ClientTransport> transports = new ArrayList<>();
        if (!transport.equals("long-polling")) {
            transports.add(Sockets.transport());
        }
        if (!transport.equals("websocket")) {
            HttpClient http = new HttpClient();
            http.start();
            transports.add(new JettyHttpClientTransport(new HashMap<>(), http));
        }
        Driver driver = new Driver(args[1], transports, args[3].equals("ack"));
        say("ready", Map.of("version", args[0]));
        driver.client.handshake();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            driver.obey(JSON.getParser().parse(new StringReader(line), Map.class));
        }
        System.exit(0);
    }

    private void obey(Map<?, ?> command) {
        String channel = (String)command.get("channel");
        switch ((String)command.get("do")) {
            case "subscribe":
                subscriptions.add(channel);
                subscribe(channel);
                break;
            case "publish":
                client.getChannel(channel).publish(command.get("data"), reply -> say("publish", reply));
                break;
            case "call":
                client.remoteCall((String)command.get("target"), command.get("data"), reply -> say("answer", reply));
                break;
            case "disconnect":
                client.disconnect(reply -> say("disconnect", reply));
                break;
            default:
                throw new IllegalArgumentException(command.toString());
        }
    }

    private void subscribe(String pattern) {
        client.getChannel(pattern).subscribe((channel, message) -> {
            Map<String, Object> fields = new HashMap<>();
            fields.put("channel", message.getChannel());
            fields.put("data", message.getData());
            say("message", fields);
        }, reply -> say("subscribe", reply));
    }

    private static void say(String event, Map<String, Object> fields) {
        Map<String, Object> line = new HashMap<>();
        fields.forEach((name, value) -> {
            // What a failed message carries besides is made of things that are no JSON.
            if (!name.equals("failure")) {
                line.put(name, value);
            }
        });
        line.put("event", event);
        if (fields instanceof Message) {
            line.put("successful", ((Message)fields).isSuccessful());
        }
        OUT.println(JSON.getGenerator().generate(line));
    }
}
